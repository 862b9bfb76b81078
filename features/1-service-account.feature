Feature: Step 1. A Kubernetes service account with an IAM identity

  The agent runs as a service account of its own with an IAM role of its own, not as the node.

  @id:step1.aws-cli
  @guide:s1.policy @guide:s1.namespace @guide:s1.service-account @guide:s1.account-id @guide:s1.oidc-issuer
  @guide:s1.trust @guide:s1.annotate @guide:s1.ready
  Scenario: The AWS CLI commands give the service account an IAM role that it can use
    When the reader runs the AWS CLI commands of step 1 as printed
    Then no command failed
    And the IAM policy allows nothing but asking who one is
    And the IAM role trusts this service account alone
    And a pod of the service account acts in that IAM role

  @id:step1.least-privilege @guide:s1.least-privilege
  Scenario: An IAM role without any permission is enough to join
    Given a service account with an IAM role
    And a joining token for that role
    When the agent is deployed
    Then the agent has joined by IAM
    And its IAM role has no permission

  @id:step1.node-identity @guide:s1.node-identity-risk @needs:node-identity
  Scenario: A pod without an IAM role of its own can use the node's
    Given a service account without an IAM role
    And a node with an IAM role of its own
    When a pod of the service account on that node asks AWS who it is
    Then AWS told the pod that it is the node

  @id:step1.own-identity @guide:s1.own-identity @guide:s1.node-identity-risk @needs:node-identity
  Scenario: A pod with an IAM role of its own does not use the node's
    Given a service account with an IAM role
    And a node with an IAM role of its own
    When a pod of the service account on that node asks AWS who it is
    Then AWS told the pod that it is in the service account's role

  @id:step1.oidc-empty @guide:s1.oidc-empty
  Scenario: A cluster without an OIDC provider shows no issuer
    Given an EKS cluster without an OIDC provider
    When the reader asks for the issuer of that cluster as printed
    Then no command failed
    And no issuer is printed

  Rule: eksctl

    @id:step1.eksctl @guide:s1.eksctl
    Scenario: eksctl makes the IAM role and the service account
      Given a machine with eksctl, in an account where it can work
      And the IAM policy of step 1
      When the reader runs eksctl as it should read
      Then no command failed
      And a pod of the service account acts in that IAM role

    @id:step1.eksctl-as-printed @guide:s1.eksctl
    Scenario: The policy that eksctl is to attach does not exist as printed
      Given the IAM policy of step 1
      When what eksctl is told as printed is done
      Then IAM knows no policy of the printed ARN
      And the IAM role has no permission

    @id:step1.eksctl-effect @guide:s1.eksctl @guide:s1.policy
    Scenario: The IAM role and the service account that eksctl makes can be used
      Given the IAM policy of step 1
      When what eksctl is told as it should read is done
      Then the IAM role has the policy of step 1 and no other
      And a pod of the service account acts in that IAM role

  Rule: Shells and partitions

    @id:step1.zsh-as-printed @guide:s1.account-id @guide:s1.trust @guide:s1.annotate
    Scenario: zsh takes characters out of the trust policy and the role's ARN as printed
      Given a service account without an IAM role
      When the reader goes on from the variables of step 1 as printed, in zsh
      Then IAM makes no role of the trust policy
      And the service account names something else than the IAM role

    @id:step1.zsh
    @guide:s1.policy @guide:s1.namespace @guide:s1.service-account @guide:s1.account-id @guide:s1.oidc-issuer
    @guide:s1.trust @guide:s1.annotate
    Scenario: The AWS CLI commands work in zsh as they should read
      When the reader runs the AWS CLI commands of step 1 as they should read, in zsh
      Then no command failed
      And the IAM policy allows nothing but asking who one is
      And the IAM role trusts this service account alone
      And a pod of the service account acts in that IAM role

    @id:step1.new-shell-as-printed @guide:s1.account-id @guide:s2.token~2
    Scenario: A new shell goes on without an account as printed
      Given a service account without an IAM role
      And a reader who is signed in as an editor of resources
      When the reader annotates the account and makes the token in a new shell as printed
      Then no command failed
      And the service account and the token name no AWS account

    @id:step1.new-shell @guide:s1.account-id
    Scenario: A new shell stops for want of the account as it should read
      Given a service account without an IAM role
      And a reader who is signed in as an editor of resources
      When the reader annotates the account and makes the token in a new shell as it should read
      Then the shell says which variable is missing
      And neither an IAM role was named nor a token made

    @id:step1.partition-as-printed @guide:s1.account-id @guide:s1.annotate
    Scenario: In another partition the service account names no role as printed
      Given a service account without an IAM role
      And an AWS account in China
      When the reader makes the role and annotates the account as printed
      Then no command failed
      And the service account names something else than the IAM role

    @id:step1.partition @guide:s1.account-id @guide:s1.annotate
    Scenario: In another partition the service account names its role as it should read
      Given a service account without an IAM role
      And an AWS account in China
      When the reader makes the role and annotates the account as they should read
      Then no command failed
      And the service account names the IAM role
