Feature: Not seeing Kubernetes clusters?

  A user's roles must allow a Kubernetes user or group, the user must have signed in since, and the cluster
  must bind the group.

  Background:
    Given an agent that has joined by IAM

  @id:access.no-groups @guide:ts.need-user-or-group @failure:no-kubernetes-groups
  Scenario: A user without Kubernetes groups is refused by Teleport
    Given a signed-in user without Kubernetes groups
    When the user lists pods
    Then Teleport says that the user has no Kubernetes groups
    And no request of that user reached the cluster

  @id:access.user-instead @guide:ts.need-user-or-group
  Scenario: A Kubernetes user is enough where the roles allow no group
    Given a signed-in user whose role allows a Kubernetes user alone, which the cluster binds
    When the user lists pods
    Then the pods are listed
    And the API server saw the agent impersonate that Kubernetes user alone

  @id:access.not-signed-in-again @guide:ts.relogin @failure:not-signed-in-again
  Scenario: A role given since the user signed in does not count yet
    Given a user who was given the guide's role after signing in
    When the user lists pods
    Then Teleport says that the user has no Kubernetes groups
    And no request of that user reached the cluster

  @id:access.signed-in-again
  @guide:ts.role-created~2 @guide:ts.relogin @failure:group-not-bound
  Scenario: Signing in again makes the role count, and the cluster refuses a group that it does not bind
    Given a user who signed in again after being given the guide's role
    When the user lists pods
    Then the cluster forbids it to the user's group
    And kubectl says that the user cannot list pods

  @id:access.bound @guide:ts.viewers-bound @guide:ts.impersonation
  Scenario: A bound group may read, and neither write nor read Secrets
    Given a signed-in user with the guide's role, whose group is bound as the guide says
    When the user lists pods
    Then the pods are listed
    And the user may neither delete pods nor read Secrets
