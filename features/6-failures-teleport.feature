Feature: What fails with Teleport itself

  The agent is in order, and Teleport is not: it is away, another cluster, or configured otherwise.

  @id:failures.teleport-down @failure:teleport-down @alone @needs:stop-teleport
  Scenario: An agent that starts while Teleport is down joins by itself once it is back
    Given a set-up in which Teleport is down
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And it joins without a restart once Teleport is back

  @id:failures.identity-of-another-cluster @failure:identity-of-another-cluster @alone @needs:stop-teleport
  Scenario: An agent with the identity of another Teleport cluster stays out
    Given a set-up in which the agent's identity is of another Teleport cluster
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent stays out until it starts without that identity

  @id:failures.tunnel-unreachable @failure:tunnel-unreachable @alone @needs:stop-teleport
  Scenario: An agent that does not reach the reverse tunnel joins in vain
    Given a set-up in which the proxy's reverse tunnel cannot be reached
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And it joins again and again and serves nobody until the cause is mended

  @id:failures.proxy-without-kubernetes @failure:proxy-without-kubernetes @alone @needs:stop-teleport
  Scenario: Users of a proxy that serves no Kubernetes get to nobody
    Given a set-up in which the proxy serves no Kubernetes
    And a signed-in user whose group may view the cluster
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And kubectl gets to nobody until the cause is mended

  @id:failures.host-authority-rotated @failure:host-authority-rotated @alone @needs:stop-teleport @needs:rotation
  Scenario: An agent that runs while the host authority is rotated goes on as the same host
    Given a set-up in which the host authority of Teleport is rotated
    When the agent is deployed into it
    Then it serves a user who signs in afterwards without a restart or another join

  @id:failures.rotation-missed @failure:rotation-missed @alone @needs:stop-teleport @needs:rotation
  Scenario: An agent that missed the whole rotation of the host authority stays out
    Given a set-up in which the agent was away while the host authority of Teleport was rotated
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent stays out until it starts without that identity
