"""A simulated Kubernetes API server with the controllers that the guide and the chart depend on.

It keeps everything in memory and says that it is simulated in its version and its log. Texts of refusals and
the forms of objects are those of kube-apiserver 1.32.2, seen beside it.

Left out, and refused or ignored as said:
- exec is offered over WebSockets (v5 and v4.channel.k8s.io) without a terminal, and refused over SPDY;
- attach and port-forward answer 501; aggregation, custom resources and HTTP/2 do not exist;
- protobuf bodies are read for the kinds of `protobuf.SCHEMAS`, others get 415; answers are JSON;
- schema validation: unknown fields are kept; refused are wrong names and what `validation` says is missing;
- rules about immutable fields other than `metadata.uid`;
- the controllers are part of the program: what they write is not in the audit log;
- bookmarks come at the beginning and at the end of a watch only;
- lists are whole: `limit` is ignored, `continue` never given;
- server-side apply tracks the owners of applied fields only, not of updated ones, and knows no conflicts;
- deletion of collections, scale, propagation policies other than Background (a Job's pods go with it, whatever was
  asked); a field selector may name any field, and one that is not there is empty;
- defaults that neither clients nor controllers nor the kubelet read; columns of `-o wide`, and any but name and age
  for most resources;
- escalation checks of RBAC, ValidatingWebhookConfigurations, match conditions, webhooks by service reference,
  impersonation of uids and extras; reviews of tokens and of rules;
- Deployments and disruption budgets are stored and nothing acts on them, StatefulSets keep no revisions and claim no
  volumes; other workloads, Services and volumes do not exist; there is no scheduler (the lab's kubelet binds pods)
  and no node lifecycle;
- Jobs: one pod at a time to one completion, no indexes, no deadline, no removal after their end;
- tokens: no binding to nodes, no prolonged life, no revocation other than by deleting what they are bound to;
- a client certificate of a foreign authority fails the TLS handshake instead of getting 401.
"""
