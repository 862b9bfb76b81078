Feature: Step 2. The AWS joining token

  The token's name is no secret: an agent proves its AWS account and role with a request that only it can
  sign, and the token's rule says which ones may join.

  @id:step2.token-as-printed @guide:s2.token~2 @guide:s2.create
  Scenario: The printed commands make a token that admits the role of step 1 alone
    Given a reader who is signed in as an editor of resources
    When the reader makes the token of step 2 as printed
    Then no command failed
    And the token lets the guide's services join by IAM and nothing else
    And the token admits no other account and role than those of step 1

  @id:step2.zsh-as-printed @guide:s2.token~2
  Scenario: zsh takes characters out of the token's rule as printed
    Given a reader who is signed in as an editor of resources
    When the reader makes the token of step 2 as printed, in zsh
    Then no command failed
    And the token admits another role than that of step 1

  @id:step2.zsh @guide:s2.token~2 @guide:s2.create
  Scenario: The token's commands work in zsh as they should read
    Given a reader who is signed in as an editor of resources
    When the reader makes the token of step 2 as it should read, in zsh
    Then no command failed
    And the token admits no other account and role than those of step 1

  @id:step2.wrong-account @guide:s2.proof @guide:s2.name-not-secret @failure:wrong-account
  Scenario: An agent of an account that the token does not name is refused
    Given a service account with an IAM role
    And a joining token for another AWS account
    When the agent is deployed
    Then the agent logs that no allow rule matched
    And Teleport refused it because of its account

  @id:step2.wrong-role @guide:s2.arn-restricts @failure:wrong-arn
  Scenario: An agent in a role that the token does not name is refused
    Given a service account with an IAM role
    And a joining token for another IAM role
    When the agent is deployed
    Then the agent logs that no allow rule matched the role
    And Teleport refused it because of its role

  @id:step2.arn-optional @guide:s2.arn-optional
  Scenario: A token that names the account alone admits a role of that account
    Given a service account with an IAM role
    And a joining token for any role of the account
    When the agent is deployed
    Then the agent has joined by IAM
    And it proved to be in the service account's IAM role

  @id:step2.create-twice-as-printed @guide:s2.create
  Scenario: Over an older token of that name, the printed command replaces it or says so
    Given a reader who is signed in as an editor of resources
    And a token of the guide's name that somebody made before
    When the reader makes the token of step 2 as printed
    Then the token is the reader's, or the reader is told of the older one

  Rule: The token's roles

    Background:
      Given a service account with an IAM role
      And a joining token for that role

    @id:step2.minimal-roles @guide:s2.minimal-roles~2
    Scenario: A token of role Kube alone lets in all that the agent runs
      When the agent is deployed
      Then every service of the agent has joined by IAM

    @id:step2.role-not-allowed @guide:s2.minimal-roles @failure:token-lacks-role
    Scenario: A service whose role the token lacks is kept out, and the others are let in
      When the agent is deployed with an application service besides
      Then the agent's other services have joined by IAM
      And the agent logs that the token does not allow the application service

    @id:step2.roles-as-printed @guide:s2.minimal-roles @failure:token-lacks-role
    Scenario: The token keeps out services of step 3 as printed
      Given an edition whose step 3 deploys services that its token does not allow
      When the agent is deployed with the roles of step 3 as printed
      Then the token keeps out every service but the one for Kubernetes
