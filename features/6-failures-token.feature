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
      | failure            | cause                                             |
      | token-removed      | the token is missing                              |
      | token-name-differs | the agent was given another name than the token's |
      | token-expired      | the token has expired                             |
      | method-omitted     | the token has neither a join method nor an ARN    |
      | method-not-iam     | the token is of the join method token             |
      | agent-not-iam      | the agent was given the join method token         |

  @id:failures.token-rule @failure:<failure>
  Scenario Outline: The agent matches no rule where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And what AWS told of the agent fits the token but for its role
    And the agent stays out until the cause is mended

    Examples:
      | failure             | cause                                                |
      | arn-of-iam-form     | the token has the role's ARN of IAM, not that of STS |
      | arn-with-path       | the token's ARN has a path before the role           |
      | arn-without-session | the token's ARN ends with the role                   |

  @id:failures.token-lacks-kube @failure:token-lacks-kube
  Scenario: The Kubernetes Service is kept out where the token lacks its role
    Given a set-up in which the token is for nodes alone
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the Kubernetes Service stays out until the cause is mended

  @id:failures.token-admits @failure:<failure>
  Scenario Outline: An agent is let in that was not meant where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then the agent has joined by IAM
    And it proved to be in the service account's IAM role
    And the token's rule is not the one of step 2

    Examples:
      | failure                | cause                                           |
      | arn-star-alone         | the token's ARN has a star in place of the role |
      | arn-question-mark      | the token's ARN has a question mark in the role |
      | account-empty-with-arn | the token has an ARN and an empty account       |

  @id:failures.token-refused @failure:<failure>
  Scenario Outline: tctl refuses a file in which <cause>
    Given a file in which <cause>
    When the resource is created from it
    Then tctl refuses it in the words of the table of failures
    And it is taken once the file is mended

    Examples:
      | failure                       | cause                                           |
      | token-without-rules           | the token has no rule                           |
      | token-with-aws-role           | the token's rule has aws_role                   |
      | token-with-aws-regions        | the token's rule has aws_regions                |
      | token-rule-empty              | the token's rule has neither account nor ARN    |
      | token-account-a-number        | the token's account stands without quotes       |
      | token-without-roles           | the token has no role                           |
      | token-role-unknown            | the token has a role that is none of Teleport's |
      | token-method-unknown          | the token's join method is none of Teleport's   |
      | token-rules-with-method-token | the token has rules and the join method token   |
      | token-arn-without-method      | the token has an ARN and no join method         |

  @id:failures.token-short-lived @failure:<failure>
  Scenario Outline: A token lives for half an hour where <cause>
    Given a file in which <cause>
    When the resource is created from it
    Then the token lives for half an hour
    And it lives as long as the file says once that is mended

    Examples:
      | failure        | cause                          |
      | expiry-omitted | the token has no expiry        |
      | expiry-past    | the token's expiry lies behind |
