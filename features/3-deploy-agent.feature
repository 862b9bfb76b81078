Feature: Step 3. The Teleport Kubernetes Service

  @id:step3.printed-names @alone
  @guide:s3.repo @guide:s3.install @guide:s3.pod-ready @guide:s3.tsh-ls
  Scenario: With the names that the guide prints, steps 1 to 3 leave an agent that is ready and listed
    Given a reader who is signed in as an editor of resources
    When the reader follows steps 1 to 3 as they should read
    Then no command failed
    And the agent's pod becomes ready without a restart
    And tsh lists the cluster under the name chosen in step 3

  @id:step3.joined-by-iam
  @guide:how.identity-stored @guide:s2.proof @guide:s1.own-identity
  Scenario: The agent joins by IAM, in its own role
    Given a service account with an IAM role
    And a joining token for that role
    When the agent is deployed
    Then the agent has joined by IAM
    And it proved to be in the service account's IAM role

  @id:step3.nothing-secret @guide:how.no-secret
  Scenario: The release's joining secret is the token's name
    Given a service account with an IAM role
    And a joining token for that role
    When the agent is deployed
    Then the agent has joined by IAM
    And nothing but the token's name was given to the cluster

  @id:step3.existing-account @guide:s3.existing-sa
  Scenario: The release uses the service account that was there
    Given a service account with an IAM role
    And a joining token for that role
    When the agent is deployed
    Then the agent's pod runs as the service account of step 1
    And the release made no service account

  @id:step3.kubectl-routed @guide:s3.tsh-login @guide:s3.kubectl-routed @guide:ts.impersonation
  Scenario: kubectl reaches the cluster by way of Teleport and the agent alone
    Given an agent that has joined by IAM
    And a signed-in user whose group may view the cluster
    When the user lists pods
    Then the pods are listed
    And the API server saw that user only as the agent's impersonation
