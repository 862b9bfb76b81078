Feature: Step 2. The AWS joining token

  The token's name is no secret: an agent proves its AWS account and role with a request that only it can
  sign, and the token's rule says which ones may join.

  @id:step2.token-as-printed @guide:s2.token @guide:s2.create
  Scenario: The printed commands make a token that admits the role of step 1 alone
    Given a reader who is signed in as an editor of resources
    When the reader makes the token of step 2 as printed
    Then no command failed
    And the token lets Kubernetes agents join by IAM and nothing else
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
