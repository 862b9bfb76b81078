Feature: Not seeing Kubernetes clusters? The roles

  The reader's roles are looked at, the guide's role is made and reaches the reader, and the cluster binds its
  group.

  Rule: Which groups and users the current roles allow

    @id:roles.asked @guide:ts.current-roles @guide:ts.groups @guide:ts.users
    Scenario: The printed commands show the groups and users that a role names
      Given an editor whose role allows a Kubernetes group and a Kubernetes user
      When the reader asks for the groups and users of the current roles as printed
      Then no command failed
      And the group and the user of that role are printed, and nothing else

    @id:roles.asked-as-printed @guide:ts.groups @guide:ts.users
    Scenario: The printed commands show something to a reader who may access nothing
      Given a reader who is signed in as an editor of resources
      When the reader asks for the groups and users of the current roles as printed
      Then no command failed
      And templates are printed, although the reader's certificate has neither group nor user

    @id:roles.asked-corrected @guide:ts.groups @guide:ts.users
    Scenario: As they should read the commands show what the reader may access, and no template
      Given an editor whose roles are a preset one and one that allows a Kubernetes group and a Kubernetes user
      When the reader asks for the groups and users of the current roles as it should read
      Then no command failed
      And the group and the user of that role are printed, and nothing else

  Rule: The guide's role

    @id:roles.local-user @guide:ts.role-created~2 @guide:ts.local-user
    Scenario: The printed commands make the role and give it to a local user
      Given a signed-in editor with the guide's file for the role
      When the reader makes the role and takes it on as printed
      Then no command failed
      And the role allows what the file says
      And signing in again gives the reader the role's group, and no other

    @id:roles.local-user-zsh @guide:ts.role-created~2 @guide:ts.local-user
    Scenario: The printed commands make the role and give it to a local user in zsh
      Given a signed-in editor with the guide's file for the role
      When the reader makes the role and takes it on as printed, in zsh
      Then no command failed
      And the role allows what the file says
      And signing in again gives the reader the role's group, and no other

    @id:roles.bound @guide:ts.viewers-bound
    Scenario: The printed command lets the role's group view the cluster
      Given the guide's file that binds the role's group
      When the reader applies it as printed
      Then no command failed
      And the cluster lets the group list pods, and neither delete them nor read Secrets

  Rule: Identity providers

    @id:roles.github @guide:ts.github
    Scenario: The role is mapped in the GitHub connector by the printed command
      Given a signed-in editor, the guide's role and a GitHub connector
      When the reader maps the role in the GitHub connector as printed
      Then no command failed
      And the GitHub connector gives the organization's team, and nobody else, the role beside the one of before

    @id:roles.saml @guide:ts.saml @guide:ts.saml-secret
    Scenario: The role is mapped in the SAML connector by the printed commands
      Given a signed-in editor, the guide's role and a SAML connector
      When the reader maps the role in the SAML connector as printed
      Then no command failed
      And the SAML connector gives the attribute's value, and no other, the role beside the one of before
      And the printed command wrote the connector's private key into the file

    @id:roles.oidc @guide:ts.oidc @guide:ts.oidc-secret
    Scenario: The role is mapped in the OIDC connector by the printed commands
      Given a signed-in editor, the guide's role and an OIDC connector
      When the reader maps the role in the OIDC connector as printed
      Then no command failed
      And the OIDC connector gives the claim's value, and no other, the role beside the one of before
      And the printed command wrote the connector's client secret into the file

    @id:roles.oidc-secret-as-printed @guide:ts.oidc-secret
    Scenario: The file with the OIDC connector has no private key, unlike the guide says
      Given a signed-in editor, the guide's role and an OIDC connector
      When the reader maps the role in the OIDC connector as printed
      Then no command failed
      And the file held a secret, but not the one that the guide names

    @id:roles.member @guide:ts.github @guide:ts.saml @guide:ts.oidc
    Scenario: A member of what is mapped gets the role
      When a member signs in through the identity provider
      Then the member has the guide's role
