Feature: What fails with the chart

  Helm refuses some values and takes others in silence. What it takes shows in the pod, or not at all.

  @id:failures.chart-refused @failure:<failure>
  Scenario Outline: Helm refuses the release where <cause>
    Given a set-up in which <cause>
    When Helm is asked to install the agent into it
    Then Helm refuses in the words of the table of failures
    And no agent starts until the cause is mended

    Examples:
      | failure               | cause                                                    |
      | proxy-address-missing | the values name no proxy                                 |
      | cluster-name-missing  | the values give the cluster no name                      |
      | chart-lacks-apps      | the chart's roles name applications that it is not given |
      | join-secret-taken     | another release of the chart is in the namespace         |
      | release-name-taken    | a release of the same name is in another namespace       |

  @id:failures.chart-silent @failure:<failure>
  Scenario Outline: The release is installed and no agent starts where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And no agent starts until the cause is mended

    Examples:
      | failure                  | cause                                                 |
      | token-value-misspelt     | the value with the joining token's name is misspelt   |
      | account-value-misspelt   | the value with the service account's name is misspelt |
      | authority-secret-missing | the Secret with the proxy's authority is missing      |
      | init-containers-given    | the chart is given init containers                    |

  @id:failures.uninstalled @failure:release-uninstalled
  Scenario: An uninstalled agent leaves what was made for it, and is another host when it is installed again
    Given a set-up in which the release is to be uninstalled
    When its release is uninstalled
    Then nothing of it is left but what was made for it
    And installed again it joins as another host

  @id:failures.uninstall @failure:<failure>
  Scenario Outline: The identity goes with the release where <cause>
    Given a set-up in which <cause>
    When its release is uninstalled
    Then the identity of the agent is gone

    Examples:
      | failure                      | cause                                                            |
      | account-gone-at-uninstall    | the service account is deleted before the release is uninstalled |
      | no-cluster-role-at-uninstall | the release with rbac.create=false is to be uninstalled          |

  @id:failures.neighbour @failure:neighbour-uninstalled
  Scenario: Uninstalling a release takes the identity of another one whose name ends with its name
    Given two agents in a namespace, the one's release named like the end of the other's
    When the one with the short name is uninstalled
    Then the identity of the agent is gone with it
    And the agent joins as another host once its pod was started anew

  @id:failures.neighbour-apart @failure:other-release-uninstalled
  Scenario: Uninstalling a release leaves the identity of another one in its namespace
    Given two agents in a namespace
    When the other one is uninstalled
    Then the identity of the first one is left as it was

  @id:failures.rendered @failure:rendered-without-cluster
  Scenario: What Helm renders without the cluster has an object that the cluster does not know
    Given a set-up in which the chart is rendered without the cluster
    When what was rendered is applied to the cluster
    Then kubectl refuses an object in the words of the table of failures
    And the agent has joined by IAM
    And all of it is applied once the cause is mended

  @id:failures.rendered-hooks @failure:rendered-with-hooks
  Scenario: Applying the rendered chart with its hooks takes the identity of the agent
    Given an agent whose chart was rendered and applied without its hooks
    When it is applied with its hooks
    Then the identity of the agent is gone
    And the agent joins as another host once its pod was started anew

  @id:failures.pod-security @failure:restricted-namespace @needs:pod-security
  Scenario: A namespace for restricted pods alone takes the release and no agent
    Given a set-up in which the namespace admits restricted pods alone
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And no agent starts until the cause is mended
