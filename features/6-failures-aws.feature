Feature: What fails in AWS

  The agent needs an IAM role through its service account. What keeps it from that role shows in the agent's log
  and in AWS's own record, and does not go away by itself.

  @id:failures.trust @failure:<failure>
  Scenario Outline: The agent gets no role where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And AWS denied the agent its role with AccessDenied
    And the agent stays out until the cause is mended

    Examples:
      | failure               | cause                                                 |
      | trust-subject-differs | the role's trust policy names another service account |
