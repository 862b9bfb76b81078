Feature: How it works. Several clusters, several agents

  One agent deployment in each cluster registers as many of them as there are; several agents may share a name.

  @id:how.two-clusters @guide:how.many-clusters
  Scenario: Two agents register two clusters, and each serves its own
    Given two agents that have joined by IAM, each for a cluster name of its own
    And a signed-in user whose group may view the cluster
    When the user asks each cluster
    Then each was answered by its own agent
    And tsh lists both

  @id:how.two-agents-one-name @guide:how.many-clusters
  Scenario: Of two agents under one cluster name, one serves when the other is gone
    Given two agents that have joined by IAM under one cluster name, and a signed-in user
    When the agent that answers the user is stopped
    Then both had answered the user
    And the other agent alone answers from then on
    And tsh lists the name once
