Feature: What fails for somebody else

  An agent proves who it is by a request that it signs for AWS, with a challenge of Teleport's in it. Who has seen such
  a request, or can alter it, does not join with it. The agent's own request does, by the same way.

  @id:failures.impostor @failure:<failure>
  Scenario Outline: Teleport itself lets nobody in where <cause>
    Given somebody with a request of the agent's, where <cause>
    When they ask Teleport to join
    Then Teleport refuses it in the words of the table of failures
    And Teleport refuses it without asking who signed it
    And the agent's own request alone lets a host in

    Examples:
      | failure            | cause                                       |
      | request-replayed   | the signed request is an earlier one        |
      | challenge-unsigned | the signature leaves the challenge out      |
      | body-changed       | the body of the request is another          |
      | foreign-sts-host   | the request is for a host that is not AWS's |
      | request-not-posted | the request is not a POST                   |

  @id:failures.impostor-at-aws @failure:<failure>
  Scenario Outline: Teleport lets nobody in whom AWS does not know where <cause>
    Given somebody with a request of the agent's, where <cause>
    When they ask Teleport to join
    Then Teleport refuses it in the words of the table of failures
    And AWS refuses to say who signed it, with <code>
    And the agent's own request alone lets a host in

    Examples:
      | failure                  | cause                                          | code                  |
      | challenge-rewritten      | an earlier request was given the new challenge | SignatureDoesNotMatch |
      | signature-altered        | the signature was altered                      | SignatureDoesNotMatch |
      | body-signed-for-another  | the signature is of another body               | SignatureDoesNotMatch |
      | date-unsigned            | the signature leaves the date out              | IncompleteSignature   |
      | session-of-another       | the session token is that of another key       | InvalidClientTokenId  |
      | sts-of-another-partition | the request is for STS of another partition    | InvalidClientTokenId  |

  @id:failures.sts-endpoint @failure:sts-endpoint-overridden
  Scenario: An agent that is told another endpoint of STS asks AWS's own all the same
    Given a service account with an IAM role
    And a joining token for that role
    When an agent is deployed that is told another endpoint of STS
    Then the agent has joined by IAM
    And the agent asked AWS's own STS alone

  @id:failures.forged-web-identity @failure:web-identity-forged
  Scenario: AWS gives no role for a web identity that the cluster did not sign
    Given a service account with an IAM role
    When somebody asks AWS for the role with a web identity that the cluster did not sign
    Then AWS refuses it with InvalidIdentityToken
    And the agent's own web identity is given the role
