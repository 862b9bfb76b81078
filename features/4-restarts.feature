Feature: How it works. The identity is kept

  After the first registration the agent's identity is in a Kubernetes Secret; later restarts use it and need
  neither the token nor IAM.

  Background:
    Given an agent that has joined by IAM and serves a signed-in user

  @id:how.restart-pod-deleted @guide:how.identity-reused
  Scenario: An agent whose pod is deleted serves again as the same host
    When the agent's pod is deleted
    Then the agent serves again as the same host without a new join
    And the restart made no AWS call

  @id:how.restart-token-removed @guide:how.identity-reused
  Scenario: An agent whose token is gone serves again as the same host
    Given the joining token is removed
    When the agent's pod is deleted
    Then the agent serves again as the same host without a new join
    And the restart made no AWS call

  @id:how.restart-iam-refusing @guide:how.identity-reused
  Scenario: An agent that IAM would refuse by now serves again as the same host
    Given AWS denies the agent's role everything
    When the agent's pod is deleted
    Then the agent serves again as the same host without a new join
    And the restart made no AWS call

  @id:how.restart-node @guide:how.identity-reused @alone @needs:restart-node
  Scenario: An agent whose node is restarted serves again as the same host
    When the agent's node is drained and restarted
    Then the agent serves again as the same host without a new join
    And the restart made no AWS call

  @id:how.restart-teleport @guide:how.identity-reused @alone @needs:stop-teleport
  Scenario: An agent that had to do without Teleport for a while serves again as the same host
    When Teleport is away for a while
    Then the agent serves again as the same host without a new join
    And the agent made no AWS call meanwhile

  @id:failures.teleport-without-data @failure:teleport-lost-its-data @alone @needs:stop-teleport
  Scenario: An agent whose Teleport lost its data serves again once it has lost its identity too
    When Teleport comes back without its data
    Then it shows where and as the table of failures says
    And the agent does not serve again by itself
    And it serves again as another host once its identity is deleted and its pod restarted
