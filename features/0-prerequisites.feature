Feature: Prerequisites

  What the guide asks for before its first step.

  @id:prerequisites.ping @guide:pre.ping
  Scenario: The printed command tells the cluster's version
    Given a machine with curl and jq
    When the reader asks the proxy for the cluster's version as printed
    Then no command failed
    And the version printed is the one that the Auth Service tells

  @id:prerequisites.teleport-version @guide:pre.teleport-version
  Scenario: The cluster is not older than the guide
    When the proxy is asked for the cluster's version
    Then the cluster is at least of the version that the guide installs

  @id:prerequisites.clients @guide:pre.clients
  Scenario: tctl and tsh are of the cluster's release
    When the reader asks tctl and tsh for their versions
    Then no command failed
    And both tell the cluster's version

  @id:prerequisites.client-skew @guide:pre.client-skew
  Scenario: Clients may be one major version behind, and no more
    When the reader asks tctl and tsh for their versions
    Then neither is more than one major version behind the cluster
    And the proxy says that it takes clients from one major version before its own on

  @id:prerequisites.kubernetes-version @guide:pre.kubernetes-version
  Scenario: kubectl and the cluster are new enough for the guide
    When the reader asks kubectl for its versions
    Then no command failed
    And client and server are at least of the version that the guide asks for
    And the server is the cluster

  @id:prerequisites.server-side-apply @guide:pre.kubernetes-version
  Scenario: The agent needs a newer cluster than the guide asks for
    Given an agent that has joined by IAM
    When the cluster is asked how the agent's state was written
    Then it was written by server-side apply
    And the cluster is at least of the version that offers this

  @id:prerequisites.oidc-provider @guide:pre.oidc-provider
  Scenario: The account has an OIDC provider for the cluster
    When IAM is asked for the OIDC providers of the account
    Then the cluster's issuer is among them, for STS

  @id:prerequisites.no-oidc-provider @guide:pre.oidc-provider @failure:no-oidc-provider
  Scenario: Without an OIDC provider in the role's account there is no identity
    Given a service account with a role of an account without an OIDC provider
    When a pod of the service account asks AWS who it is
    Then AWS told the pod of no identity
    And STS refused it because the account has no OIDC provider

  @id:prerequisites.helm-version @guide:pre.helm-version
  Scenario: Helm is new enough for the guide
    When the reader asks Helm for its version
    Then no command failed
    And Helm is at least of the version that the guide asks for

  @id:prerequisites.aws-cli-version @guide:pre.aws-cli-version
  Scenario: The AWS CLI is new enough for the guide
    When the reader asks the AWS CLI for its version
    Then no command failed
    And the AWS CLI is at least of the version that the guide asks for

  @id:prerequisites.login @guide:pre.login
  Scenario: Who has signed in with tsh uses tctl with the same credentials
    Given a user who may edit resources
    When the user signs in and asks for the cluster's status as printed
    Then no command failed
    And tctl status tells the cluster's name, version and CA pin

  @id:prerequisites.auth-host @guide:pre.tctl-on-auth-host
  Scenario: On the Auth Service's host tctl has full permissions without signing in
    When tctl is used beside the Auth Service without signing in
    Then it was refused nothing
    And the role made so is there
    And elsewhere tctl is refused without signing in
