Feature: What fails with the joining token

  Teleport admits an agent by the token's rules. What they do not admit shows in the agent's and the Auth Service's
  logs, and does not go away by itself.

  @id:failures.token @failure:<failure>
  Scenario Outline: The agent is kept out where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent stays out until the cause is mended

    Examples:
      | failure       | cause                |
      | token-removed | the token is missing |
