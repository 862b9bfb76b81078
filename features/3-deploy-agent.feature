Feature: Step 3. The Teleport Kubernetes Service

  @id:step3.printed-names @printed-names
  @guide:s3.repo @guide:s3.install~2 @guide:s3.pod-ready @guide:s3.tsh-ls
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

  @id:step3.commented-lines-as-printed @guide:s3.install
  Scenario: A comment between continued lines keeps values from Helm as printed
    Given an edition with comments between the lines of the install command
    When the shell reads the install command as printed
    Then Helm is told nothing after the first comment

  @id:step3.commented-lines @guide:s3.install
  Scenario: Without comments between its lines the install command is whole
    Given an edition with comments between the lines of the install command
    When the shell reads the install command as it should read
    Then Helm is told every value of the guide

  @id:step3.install @guide:s3.repo @guide:s3.context @guide:s3.install
  Scenario: The release comes to the cluster that kubectl was switched to, with the guide's values
    Given a service account with an IAM role
    And a reader whose kubectl is set to another cluster
    When the reader switches kubectl to the cluster and deploys the agent as it should read
    Then no command failed
    And the release is of the guide's version and has the guide's values

  @id:step3.install-zsh @guide:s3.repo @guide:s3.context @guide:s3.install
  Scenario: The commands that deploy the agent work in zsh as they should read
    Given a service account with an IAM role
    And a reader whose kubectl is set to another cluster
    When the reader switches kubectl to the cluster and deploys the agent as it should read, in zsh
    Then no command failed
    And the release is of the guide's version and has the guide's values

  @id:step3.dials-back @guide:s3.dials-back @needs:agent-sockets
  Scenario: The agent serves a user through a connection that it made itself
    Given an agent that has joined by IAM and serves a signed-in user
    When the user lists pods
    Then the pods are listed
    And of Teleport the agent itself has dialled the proxy's address, and no other
    And nobody can dial in to the agent but its own probes

  @id:step3.tsh-as-printed @guide:s3.tsh-login
  Scenario: The printed commands lead from the list of clusters to the list of pods
    Given an agent that has joined by IAM and serves a signed-in user
    When the reader goes from the list of clusters to the list of pods as printed
    Then no command failed
    And the table of clusters has the name chosen in step 3
    And the kubeconfig points at that cluster by way of Teleport

  @id:step3.tsh-as-printed-zsh @guide:s3.tsh-login
  Scenario: The printed commands lead from the list of clusters to the list of pods in zsh
    Given an agent that has joined by IAM and serves a signed-in user
    When the reader goes from the list of clusters to the list of pods as printed, in zsh
    Then no command failed
    And the table of clusters has the name chosen in step 3
    And the kubeconfig points at that cluster by way of Teleport

  Rule: A healthy agent, and nothing to see

    Background:
      Given an agent that has joined by IAM

    @id:step3.not-listed @guide:s3.diagnosis @failure:labels-do-not-match
    Scenario: A cluster that is not in the list is hidden by the user's role
      Given a signed-in user whose role reaches no cluster
      When the user lists the clusters
      Then the agent's pod becomes ready without a restart
      And the cluster is missing from the list only for want of the user's role

    @id:step3.listed-without-pods @guide:s3.diagnosis @failure:resources-not-allowed
    Scenario: Pods of a cluster that is in the list are hidden by the role's Kubernetes access
      Given a signed-in user whose role allows no pods
      When the user lists pods
      Then tsh lists the cluster under the name chosen in step 3
      And no pod is listed, and the agent's is once the user's role allows it
