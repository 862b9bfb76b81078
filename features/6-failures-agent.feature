Feature: What fails with the agent

  The agent needs its way to the proxy, a Secret for its identity and the right to impersonate. What it lacks shows in
  its log or its pod, and does not go away by itself.

  @id:failures.agent-proxy @failure:<failure>
  Scenario Outline: The agent does not get to Teleport where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent stays out until the cause is mended

    Examples:
      | failure            | cause                                          |
      | proxy-unresolvable | the proxy's name cannot be resolved            |
      | proxy-port-closed  | nothing listens at the proxy's port            |
      | proxy-untrusted    | the agent does not trust the proxy's authority |

  @id:failures.agent-state @failure:<failure>
  Scenario Outline: The agent ends at its first start where <cause>
    Given a set-up in which <cause>
    When the agent starts in it without an identity
    Then it shows where and as the table of failures says
    And the agent ends again and again until the cause is mended

    Examples:
      | failure            | cause                                    |
      | state-role-missing | the agent may not read its state Secret  |
      | state-not-writable | the agent may not write its state Secret |

  @id:failures.cluster-role @failure:cluster-role-missing
  Scenario: An agent that may not impersonate joins, and its users are refused
    Given a set-up in which the agent may not impersonate users
    And a signed-in user whose group may view the cluster
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the user is refused until the cause is mended

  @id:failures.agent-newer @failure:agent-newer @needs:newer-agent
  Scenario: An agent of a newer major than Teleport ends at its start
    Given a set-up in which the agent is of a newer major than Teleport
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent ends again and again until the cause is mended

  @id:failures.agent-older @failure:agent-older @needs:older-agent
  Scenario: An agent of the major before that of Teleport and chart joins all the same
    Given a set-up in which the agent is of an older major than Teleport and the chart
    When the agent is deployed into it
    Then it joins by IAM as the version that its image is

  @id:failures.identity-deleted @failure:identity-deleted
  Scenario: An agent whose identity is deleted serves on, and is another host at its next start
    Given an agent that has joined by IAM and serves a signed-in user
    When the agent's state Secret is deleted
    Then the same host goes on serving without a Secret
    And another host serves once its pod was started anew

  @id:failures.account-made-anew @failure:account-made-anew
  Scenario: An agent whose service account was made anew serves nobody until its pod was made anew, too
    Given an agent that has joined by IAM and serves a signed-in user
    When its service account is deleted and made anew
    Then the user is refused in the words of the table of failures
    And the same host serves again once its pod was started anew

  @id:failures.identity-copied @failure:identity-copied
  Scenario: An agent with the identity of another one is that one's host
    Given a set-up in which the agent has the identity of another agent
    When the agent is deployed into it
    Then it registers as the other agent's host without a join
    And it joins as a host of its own once the cause is mended

  @id:failures.replicas @failure:several-replicas
  Scenario: Each replica joins and keeps an identity of its own
    Given a set-up in which the agent has several replicas
    When the agent is deployed into it
    Then two hosts serve the cluster, each with a Secret of its own

  @id:failures.restarted-often @failure:restarted-often
  Scenario: An agent that is restarted three times stays the same host
    Given an agent that has joined by IAM and serves a signed-in user
    When the agent's pod is deleted three times
    Then the agent serves again as the same host without a new join
