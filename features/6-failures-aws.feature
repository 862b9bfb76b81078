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
      | failure                 | cause                                                                |
      | trust-subject-differs   | the role's trust policy names another service account                |
      | trust-audience-differs  | the role's trust policy names another audience                       |
      | trust-principal-differs | the role's trust policy names another OIDC provider                  |
      | trust-operator-differs  | the role's trust policy has a wildcard where the words must be equal |
      | trust-action-differs    | the role's trust policy allows another action                        |
      | issuer-empty            | the role's trust policy was made of a cluster without an issuer      |
      | role-missing            | the IAM role does not exist                                          |
      | role-path-left-out      | the IAM role has a path that the annotation leaves out               |

  @id:failures.no-identity @failure:<failure>
  Scenario Outline: The agent has no AWS identity where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And AWS was not asked for the agent's role
    And the agent stays out until the cause is mended

    Examples:
      | failure                       | cause                                                            |
      | no-aws-credentials            | the service account names no IAM role                            |
      | annotation-misspelt           | the key of the service account's annotation is misspelt          |
      | annotation-on-another-account | another service account than the agent's names the IAM role      |
      | annotation-after-install      | the service account was annotated after the agent's pod was made |
      | webhook-passes-over           | the pod tells the identity webhook to pass it over               |
      | annotation-eaten-by-zsh       | zsh took characters out of the role's ARN                        |

  @id:failures.web-identity @failure:<failure>
  Scenario Outline: AWS refuses the agent its role where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And AWS denied the agent its role with <code>
    And the agent stays out until the cause is mended

    Examples:
      | failure                       | cause                                                   | code                  |
      | annotation-of-another-account | the service account names a role of another AWS account | InvalidIdentityToken  |
      | token-for-another-audience    | the pod's web identity is for another audience          | InvalidIdentityToken  |
      | web-identity-expired          | the pod's web identity has expired                      | ExpiredTokenException |
      | clock-ahead                   | the cluster's clock is ahead of that of AWS             | InvalidIdentityToken  |
      | organization-denies           | a policy of the organization denies the role            | AccessDenied          |

  @id:failures.clock-behind @failure:clock-behind
  Scenario: A node whose clock is behind keeps its agent out
    Given a set-up in which the node's clock is behind that of AWS
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And AWS refused to tell Teleport who the agent is with SignatureDoesNotMatch
    And the agent stays out until the cause is mended

  @id:failures.identity @failure:<failure>
  Scenario Outline: The agent is kept out where <cause>
    Given a set-up in which <cause>
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent stays out until the cause is mended

    Examples:
      | failure                    | cause                                                               |
      | static-keys                | AWS keys in the pod's environment shadow the service account's role |
      | partition-differs          | the token names the role in another partition                       |
      | sts-unreachable-from-agent | the agent does not reach STS                                        |
      | sts-unreachable-from-auth  | Teleport does not reach STS                                         |
      | region-new                 | the agent's AWS region is newer than Teleport                       |

  @id:failures.web-identity-unreadable @failure:web-identity-unreadable @needs:security-context
  Scenario: The agent gets no role by a web identity that its user may not read
    Given a set-up in which the agent's user may not read the pod's web identity
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And AWS was not asked for the agent's role
    And the agent stays out until the cause is mended

  @id:failures.no-volume-group @failure:no-volume-group @needs:security-context
  Scenario: Without a group for the pod's volumes the agent reads its web identity all the same
    Given a set-up in which the pod's volumes have no group of their own
    When the agent is deployed into it
    Then its pod has no group for its volumes
    And the agent has joined by IAM
    And it proved to be in the service account's IAM role

  @id:failures.region-unknown @failure:region-unknown
  Scenario: Without a region the agent joins by the global endpoint of STS
    Given a set-up in which nobody tells the agent its AWS region
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent has joined by IAM

  @id:failures.pod-identity-alone @failure:pod-identity-alone
  Scenario: An agent that EKS Pod Identity alone gives an identity ends at its start
    Given a set-up in which the pod has an AWS identity of EKS Pod Identity alone
    When the agent is deployed into it
    Then it shows where and as the table of failures says
    And the agent ends again and again until the cause is mended

  @id:failures.pod-identity-beside @failure:pod-identity-beside
  Scenario: EKS Pod Identity does not shadow the service account's role
    Given a set-up in which the pod has an identity of EKS Pod Identity beside the service account's role
    When the agent is deployed into it
    Then the agent has joined by IAM
    And it proved to be in the service account's IAM role

  Rule: The node's identity

    @id:failures.node-identity-refused @failure:node-identity-refused @needs:node-identity
    Scenario: The token's role keeps the agent out in the role of its node
      Given a set-up in which the service account names no IAM role and the node has one
      When the agent is deployed into it
      Then it shows where and as the table of failures says
      And AWS told Teleport that the agent is its node
      And the agent stays out until the cause is mended

    @id:failures.node-identity-joins @failure:node-identity-joins @guide:s1.node-identity-risk @needs:node-identity
    Scenario: A token without a role lets the agent in as its node
      Given a set-up in which the token names no IAM role and the agent has none but its node's
      When the agent is deployed into it
      Then the agent has joined by IAM
      And AWS told Teleport that the agent is its node

    @id:failures.node-identity-withheld @failure:node-identity-withheld @needs:node-identity
    Scenario: A node that keeps its role from pods leaves the agent without any
      Given a set-up in which the service account names no IAM role and the node keeps its own from pods
      When the agent is deployed into it
      Then it shows where and as the table of failures says
      And AWS told nobody that it is the agent's node
      And the agent stays out until the cause is mended
