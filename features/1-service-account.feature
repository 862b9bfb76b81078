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
