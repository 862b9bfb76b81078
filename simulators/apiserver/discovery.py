"""What the server tells of itself: version, resources and just enough of OpenAPI.

Clients need of OpenAPI only that patches take `fieldValidation`: then they leave the validation to the server.
Source: the probe of facts/lab.md, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver import kinds

if TYPE_CHECKING:
    from simulators.apiserver.config import Config
    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Object

AGGREGATED = "g=apidiscovery.k8s.io"


def version(config: Config) -> Object:
    """The answer of /version; it says that it is simulated."""
    major, minor = config.release()
    return {
        "major": major,
        "minor": minor,
        "gitVersion": config.version,
        "gitCommit": "simulated",
        "gitTreeState": "simulated",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "simulated",
        "compiler": "simulated",
        "platform": "simulated/simulated",
    }


def versions(server: str) -> Object:
    """The answer of /api."""
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": server}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}


def groups() -> Object:
    """The answer of /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*g) for g in _named_groups()]}


def _named_groups() -> list[tuple[str, str]]:
    return [entry for entry in kinds.group_versions() if entry[0]]


def _group(name: str, version: str) -> Object:
    entry = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def resources(group: str, version: str) -> Object | None:
    """The answer of /api/v1 and /apis/GROUP/VERSION, or None."""
    found = kinds.in_group(group, version)
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [entry for resource in found for entry in _listed(resource)],
    }


def _listed(resource: Resource) -> list[Object]:
    own: Object = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short:
        own["shortNames"] = list(resource.short)
    if resource.categories:
        own["categories"] = list(resource.categories)
    below = []
    for name in resource.subresources:
        api_version, kind, verbs = kinds.SUBRESOURCES[name]
        entry: Object = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "kind": kind or resource.kind,
        }
        entry |= {"namespaced": resource.namespaced, "verbs": list(verbs)}
        if api_version:
            entry["group"], _, entry["version"] = api_version.partition("/")
        below.append(entry)
    return [own, *below]


def aggregated(*, core: bool) -> Object:
    """The answer of /api or /apis in one document with all resources.

    Args:
        core: of the core group instead of the named ones.
    """
    wanted = [entry for entry in kinds.group_versions() if bool(entry[0]) != core]
    items = []
    for name, version in wanted:
        listed = [_discovered(resource) for resource in kinds.in_group(name, version)]
        entry = {"version": version, "resources": listed, "freshness": "Current"}
        metadata: Object = {"creationTimestamp": None} | ({"name": name} if name else {})
        items.append({"metadata": metadata, "versions": [entry]})
    kind, api_version = "APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"
    return {"kind": kind, "apiVersion": api_version, "metadata": {}, "items": items}


def _discovered(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.kind.lower(),
        "verbs": list(resource.verbs),
    }
    if resource.short:
        entry["shortNames"] = list(resource.short)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    below = []
    for name in resource.subresources:
        api_version, kind, verbs = kinds.SUBRESOURCES[name]
        group, _, version = api_version.rpartition("/")
        answer = {"group": group, "version": version, "kind": kind or resource.kind}
        below.append({"subresource": name, "responseKind": answer, "verbs": list(verbs)})
    if below:
        entry["subresources"] = below
    return entry


def openapi_index(release: str) -> Object:
    """The answer of /openapi/v3.

    Args:
        release: changes whenever the documents do, so that clients keep them no longer.
    """
    paths = [kinds.in_group(*entry)[0].prefix[1:] for entry in kinds.group_versions()]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={release}"} for path in paths}}


def openapi(path: str) -> Object | None:
    """The document of one group and version, or None.

    Args:
        path: below /openapi/v3/, such as api/v1 or apis/apps/v1.
    """
    group, _, version = path.removeprefix("apis/").removeprefix("api/").rpartition("/")
    found = kinds.in_group(group, version)
    if not found:
        return None
    text = {"type": "string"}
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters = [{"name": name, "in": "query", "schema": text} for name in names]
    paths = {}
    for resource in found:
        place = "/namespaces/{namespace}" if resource.namespaced else ""
        kind = {"group": group, "version": version, "kind": resource.kind}
        operation = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind, "responses": {}}
        one = f"{resource.prefix}{place}/{resource.plural}/{{name}}"
        paths[one] = {"patch": operation | {"parameters": parameters}}
    info = {"title": "Kubernetes (simulated)", "version": "simulated"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}
