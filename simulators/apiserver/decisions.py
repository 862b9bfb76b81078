"""Everything the API server and its controllers decide, as small pure functions in one frozen object.

Nothing here knows about faults: to prove that a scenario can fail, another object with one function replaced
is given to the server at start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.apiserver.selectors import matches_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from simulators.apiserver.objects import User

    Labels = tuple[Mapping[str, str] | None, Mapping[str, str]]

AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class Attributes:
    """What a request asks for, as authorization sees it.

    Args:
        verb: such as get or list.
        group: of the API.
        resource: plural name, with its subresource as in `pods/log`; empty for a path.
        name: of the object; empty for a collection.
        namespace: empty at the cluster scope.
        path: of a request that is not about a resource.
    """

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""


def rule_allows(rule: Mapping[str, Sequence[str]], asked: Attributes) -> bool:
    """Whether one rule of a role covers a request.

    Args:
        rule: a PolicyRule.
        asked: the request.
    """
    if not {"*", asked.verb} & set(rule.get("verbs") or ()):
        return False
    if asked.path:
        return any(_path_covered(pattern, asked.path) for pattern in rule.get("nonResourceURLs") or ())
    _, _, subresource = asked.resource.partition("/")
    resources = {"*", asked.resource, *({f"*/{subresource}"} if subresource else ())}
    names = rule.get("resourceNames") or ()
    return (
        bool({"*", asked.group} & set(rule.get("apiGroups") or ()))
        and bool(resources & set(rule.get("resources") or ()))
        and (not names or asked.name in names)
    )


def _path_covered(pattern: str, path: str) -> bool:
    return pattern in {"*", path} or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def subject_is_user(subject: Mapping[str, str], user: User, namespace: str) -> bool:
    """Whether a binding's subject means the user.

    Args:
        subject: of a binding.
        user: who asks.
        namespace: of the binding, for a service account that names none.
    """
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return kind == "User" and user.name == name


def everything_allowed(user: User) -> bool:
    """Whether no rule needs to be asked: only for the administrators' group."""
    return "system:masters" in user.groups


def impersonation_allowed(permitted: bool) -> bool:
    """Whether a user may act as another.

    Args:
        permitted: RBAC gives the verb `impersonate` on that user, group or attribute.
    """
    return permitted


def impersonated_groups(asked: tuple[str, ...], service_account: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of an impersonated user.

    Args:
        asked: in the request's headers.
        service_account: that a service account always has; empty for other users.
    """
    groups = asked or service_account
    known = {AUTHENTICATED, "system:unauthenticated"} & set(groups)
    return groups if known else (*groups, AUTHENTICATED)


def token_unexpired(not_before: float, expires: float, now: float) -> bool:
    """Whether a token counts at a time; all in seconds since 1970."""
    return not_before <= now < expires


def audience_accepted(audiences: Sequence[str], own: Sequence[str]) -> bool:
    """Whether one of a token's audiences is the server's."""
    return bool(set(audiences) & set(own))


def bound_object_alive(bound_uid: str, stored_uid: str) -> bool:
    """Whether the account, pod or secret that a token is bound to still exists.

    Args:
        bound_uid: that the token names.
        stored_uid: of the object of that name now; empty when there is none.
    """
    return bound_uid == stored_uid


def audit_recorded(verb: str, resource: str) -> bool:  # noqa: ARG001  # the real policy records all
    """Whether a request is written to the audit log.

    Args:
        verb: of the request.
        resource: plural name; empty for a path.
    """
    return True


def webhook_called(webhook: Mapping[str, object], operation: str, resource: str, labels: Labels) -> bool:
    """Whether an admission webhook wants to see a request.

    Args:
        webhook: an entry of a configuration.
        operation: CREATE, UPDATE or DELETE.
        resource: group, version and plural name joined by slashes, the core group as an empty string.
        labels: of the namespace (None for cluster-scoped objects) and of the object.
    """
    rules = webhook.get("rules") or []
    if not isinstance(rules, list) or not any(_covers(rule, operation, resource) for rule in rules):
        return False
    namespace_labels, object_labels = labels
    namespace_fits = namespace_labels is None or _selected(webhook.get("namespaceSelector"), namespace_labels)
    return namespace_fits and _selected(webhook.get("objectSelector"), object_labels)


def _selected(selector: object, labels: Mapping[str, str]) -> bool:
    return matches_labels(selector if isinstance(selector, dict) else {}, labels)


def _covers(rule: Mapping[str, Sequence[str]], operation: str, resource: str) -> bool:
    wanted = (rule.get("apiGroups"), rule.get("apiVersions"), rule.get("resources"))
    parts = resource.split("/", 2)
    operations = set(rule.get("operations") or ())
    return bool({"*", operation} & operations) and all(
        {"*", part} & set(choice or ()) for part, choice in zip(parts, wanted, strict=True)
    )


def failing_webhook_refuses(policy: str) -> bool:
    """Whether a request is refused when a webhook cannot be asked, by its failurePolicy."""
    return policy != "Ignore"


def kept(resource: str) -> bool:  # noqa: ARG001  # all that is created is
    """Whether a new object is stored.

    Args:
        resource: plural name.
    """
    return True


def version_told(version: str) -> str:
    """The version that the server tells of itself."""
    return version


def change_kept(resource: str) -> bool:  # noqa: ARG001  # every change is
    """Whether a changed object is stored.

    Args:
        resource: plural name.
    """
    return True


def refused_as(user: str) -> str:
    """The name that a refusal tells of who asked."""
    return user


def service_account_needed(exists: bool) -> bool:
    """Whether a pod is refused for lack of its service account."""
    return not exists


def volume_known(volume: str, volumes: Collection[str]) -> bool:
    """Whether a container may mount a volume.

    Args:
        volume: its name.
        volumes: of the pod.
    """
    return volume in volumes


def version_current(sent: str, stored: str) -> bool:
    """Whether a change is based on the object as it is; a change that names no version always is."""
    return sent in {"", stored}


def aggregated(selectors: Sequence[Mapping[str, object]], labels: Mapping[str, str]) -> bool:
    """Whether a ClusterRole's rules go into another one that aggregates, such as `view`.

    Args:
        selectors: of the aggregation rule.
        labels: of the candidate.
    """
    return any(matches_labels(selector, labels) for selector in selectors)


def garbage_collected(owners: Sequence[str], existing: set[str]) -> bool:
    """Whether an object is removed because it has owners and none of them exists any more.

    Args:
        owners: uids in its ownerReferences.
        existing: uids of those of its owners that exist.
    """
    return bool(owners) and not existing & set(owners)


def statefulset_goes_on(pod_ready: bool, policy: str) -> bool:
    """Whether a StatefulSet looks beyond a pod that exists.

    With OrderedReady one that is not ready holds everything up, its own replacement by a newer revision too.

    Args:
        pod_ready: the pod runs, is ready and not leaving.
        policy: podManagementPolicy.
    """
    return pod_ready or policy == "Parallel"


def statefulset_replaces_pod(revision: str, wanted: str, leaving: bool) -> bool:
    """Whether a pod is deleted because its template changed.

    Args:
        revision: of the pod.
        wanted: the StatefulSet's update revision.
        leaving: it is being deleted already.
    """
    return revision != wanted and not leaving


def job_gives_up(failed: int, restarts: int, limit: int) -> bool:
    """Whether a Job has failed.

    Args:
        failed: number of its pods that failed.
        restarts: of the containers of its pods that restart them themselves.
        limit: backoffLimit.
    """
    return failed > limit or restarts >= max(limit, 1)


def job_complete(succeeded: int, completions: int) -> bool:
    """Whether a Job is done."""
    return succeeded >= completions


@dataclass(frozen=True)
class Decisions:
    """The functions of this module, each replaceable."""

    rule_allows: Callable[[Mapping[str, Sequence[str]], Attributes], bool] = rule_allows
    subject_is_user: Callable[[Mapping[str, str], User, str], bool] = subject_is_user
    everything_allowed: Callable[[User], bool] = everything_allowed
    impersonation_allowed: Callable[[bool], bool] = impersonation_allowed
    impersonated_groups: Callable[[tuple[str, ...], tuple[str, ...]], tuple[str, ...]] = impersonated_groups
    token_unexpired: Callable[[float, float, float], bool] = token_unexpired
    audience_accepted: Callable[[Sequence[str], Sequence[str]], bool] = audience_accepted
    bound_object_alive: Callable[[str, str], bool] = bound_object_alive
    audit_recorded: Callable[[str, str], bool] = audit_recorded
    webhook_called: Callable[[Mapping[str, object], str, str, Labels], bool] = webhook_called
    failing_webhook_refuses: Callable[[str], bool] = failing_webhook_refuses
    kept: Callable[[str], bool] = kept
    version_told: Callable[[str], str] = version_told
    change_kept: Callable[[str], bool] = change_kept
    refused_as: Callable[[str], str] = refused_as
    service_account_needed: Callable[[bool], bool] = service_account_needed
    volume_known: Callable[[str, Collection[str]], bool] = volume_known
    version_current: Callable[[str, str], bool] = version_current
    aggregated: Callable[[Sequence[Mapping[str, object]], Mapping[str, str]], bool] = aggregated
    garbage_collected: Callable[[Sequence[str], set[str]], bool] = garbage_collected
    statefulset_goes_on: Callable[[bool, str], bool] = statefulset_goes_on
    statefulset_replaces_pod: Callable[[str, str, bool], bool] = statefulset_replaces_pod
    job_gives_up: Callable[[int, int, int], bool] = job_gives_up
    job_complete: Callable[[int, int], bool] = job_complete
