Feature: What fails for the user

  What Teleport's roles and the cluster's own permissions keep from a user shows in the words of tctl, tsh and kubectl.

  @id:failures.user @failure:<failure>
  Scenario Outline: Teleport refuses the user's call where <cause>
    Given a signed-in user, and <cause>
    When the user makes the call that suffers from it
    Then it fails in the words of the table of failures
    And no request of that user reached the cluster
    And the same call is answered once the cause is mended

    Examples:
      | failure                        | cause                                                   |
      | several-kubernetes-users       | the user's roles allow several Kubernetes users         |
      | impersonated-user-not-allowed  | kubectl asks for a user whom the roles do not allow     |
      | impersonated-group-not-allowed | kubectl asks for a group that the roles do not allow    |
      | group-denied                   | a role of the user denies the group                     |
      | pod-not-allowed                | the user's role allows none of the pods that are named  |
      | pod-allowed-without-group      | the role that allows the pod allows no Kubernetes group |
      | agent-gone                     | the cluster's agent is gone                             |

  @id:failures.user-tsh @failure:<failure>
  Scenario Outline: tsh refuses the user where <cause>
    Given a signed-in user, and <cause>
    When the user makes the call that suffers from it
    Then it fails in the words of the table of failures
    And the same call is answered once the cause is mended

    Examples:
      | failure             | cause                                           |
      | unknown-cluster     | the user names a cluster that is not registered |
      | not-signed-in       | the user has signed out                         |
      | certificate-expired | the user's certificate has expired              |

  @id:failures.log-not-bound @failure:log-not-bound
  Scenario: Kubernetes refuses logs to a group that it does not bind
    Given a signed-in user, and the cluster does not let the user's group read logs
    When the user makes the call that suffers from it
    Then it fails in the words of the table of failures
    And the API server recorded pods/log alone as forbidden
    And the same call is answered once the cause is mended

  @id:failures.exec-not-bound @failure:exec-not-bound
  Scenario: Kubernetes refuses a command in a pod to a group that may only view
    Given a signed-in user, and the cluster does not let the user's group run commands in pods
    When the user makes the call that suffers from it
    Then it fails in the words of the table of failures
    And the API server recorded pods/exec alone as forbidden
    And it lets pods/exec through once the cause is mended

  @id:failures.exec-bound @failure:exec-not-bound @needs:exec
  Scenario: A command in a pod runs for a user whose group may edit, and is on record
    Given a signed-in user, and the cluster does not let the user's group run commands in pods
    When that is mended and the user runs a command in the agent's pod
    Then the user is given what the command printed
    And Teleport recorded the command as that user's
    And the API server let pods/exec alone through as that user

  @id:failures.role-version @failure:role-version-unknown
  Scenario: tctl refuses a role of a version that Teleport does not know
    Given a file in which the role is of a version that is too new
    When the resource is created from it
    Then tctl refuses it in the words of the table of failures
    And it is taken once the file is mended
