"""The environment and the command line of a container, from its specification."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from simulators.kubelet.objects import ADDRESS, Object, find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.kubelet.config import Config

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}

Reader = Callable[[str, str], Awaitable[dict[str, bytes] | None]]
"""Reads a ConfigMap or Secret (kind, name) of the pod's namespace; None when there is none."""


class ConfigurationError(Exception):
    """A container's environment refers to something that is not there."""


def expand(text: str, variables: dict[str, str]) -> str:
    """Replace `$(NAME)`; `$$` stands for `$`, an unknown name stays as it is written.

    Args:
        text: an argument or a variable's value.
        variables: known so far.
    """

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        return "$" if name is None else variables.get(name, found.group(0))

    return REFERENCE.sub(value, text)


def field_value(pod: Object, path: str) -> str:
    """The value that a fieldRef names.

    Args:
        pod: as the API has it.
        path: fieldPath.

    Raises:
        ConfigurationError: a field that the downward API does not offer.
    """
    meta, spec = pod["metadata"], pod["spec"]
    if found := SUBSCRIPT.fullmatch(path):
        return str(meta.get(found[1], {}).get(found[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        entries = meta.get(path.removeprefix("metadata."), {})
        return "\n".join(f'{key}="{value}"' for key, value in sorted(entries.items()))
    simple = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        **dict.fromkeys(["status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs"], ADDRESS),
    }
    if path not in simple:
        raise ConfigurationError(f"unsupported fieldPath: {path}")
    return str(simple[path])


def quantity(text: str) -> Decimal:
    """Read a resource quantity such as 100m, 1Gi or 2e3.

    Raises:
        ConfigurationError: it is none.
    """
    number = text.rstrip("kmMGTPEKi")
    try:
        return Decimal(number) * SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError) as error:
        raise ConfigurationError(f"not a quantity: {text}") from error


def resource_value(container: Object, reference: Object) -> str:
    """The value that a resourceFieldRef names, rounded up to whole divisors; 0 where none is set.

    Args:
        container: whose limits and requests are meant.
        reference: resource and divisor.
    """
    kind, _, name = reference["resource"].partition(".")
    text = container.get("resources", {}).get(kind, {}).get(name, "0")
    divisor = quantity(str(reference.get("divisor") or "1")) or Decimal(1)
    return str(math.ceil(quantity(str(text)) / divisor))


@dataclass(frozen=True)
class Environment:
    """Builds the environments of one pod's containers.

    Args:
        config: of the node.
        server: URL of the API server.
        pod: as the API has it.
        read: reads ConfigMaps and Secrets.
    """

    config: Config
    server: str
    pod: Object
    read: Reader

    async def build(self, container: Object, image_path: str | None) -> dict[str, str]:
        """The environment of one container, from empty.

        Args:
            container: its specification.
            image_path: folder that its image puts before PATH.

        Raises:
            ConfigurationError: with the text that a real kubelet shows.
        """
        variables = self._base(image_path)
        own: dict[str, str] = {}
        for source in container.get("envFrom", []):
            own |= await self._all_of(source)
        for entry in container.get("env", []):
            if "valueFrom" in entry:
                value = await self._referred(container, entry["valueFrom"])
                if value is not None:
                    own[entry["name"]] = value
            else:
                own[entry["name"]] = expand(entry.get("value", ""), variables | own)
        return variables | own

    def _base(self, image_path: str | None) -> dict[str, str]:
        server = urlsplit(self.server)
        port = str(server.port or 443)
        return {
            "PATH": f"{image_path}:{SYSTEM_PATH}" if image_path else SYSTEM_PATH,
            "HOME": "/",
            "HOSTNAME": self.pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
            **self.config.environment,
            "CONFORMANCE_RUN": self.config.run,
        }

    async def _all_of(self, source: Object) -> dict[str, str]:
        if "secretRef" in source:
            entries = await self._entries("secret", source["secretRef"])
        else:
            entries = await self._entries("configmap", source["configMapRef"])
        prefix = source.get("prefix", "")
        return {prefix + k: v.decode() for k, v in entries.items() if VARIABLE.fullmatch(prefix + k)}

    async def _referred(self, container: Object, source: Object) -> str | None:
        if "fieldRef" in source:
            return field_value(self.pod, source["fieldRef"]["fieldPath"])
        if "resourceFieldRef" in source:
            reference = source["resourceFieldRef"]
            named = find(self.pod["spec"]["containers"], reference.get("containerName", ""))
            return resource_value(named or container, reference)
        for field, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")):
            if field in source:
                reference = source[field]
                entries = await self._entries(kind, reference)
                if reference["key"] in entries:
                    return entries[reference["key"]].decode()
                if reference.get("optional"):
                    return None
                place = f"{self.pod['metadata']['namespace']}/{reference['name']}"
                raise ConfigurationError(f"couldn't find key {reference['key']} in {kind} {place}")
        raise ConfigurationError(f"unsupported valueFrom: {sorted(source)}")

    async def _entries(self, kind: str, reference: Object) -> dict[str, bytes]:
        entries = await self.read(kind, reference["name"])
        if entries is None:
            if reference.get("optional"):
                return {}
            raise ConfigurationError(f'{kind} "{reference["name"]}" not found')
        return entries


def command_line(container: Object, entrypoint: list[str], variables: dict[str, str]) -> list[str]:
    """What a container runs: `command` replaces the entrypoint, `args` follow either.

    Args:
        container: its specification.
        entrypoint: of its image.
        variables: its environment, for `$(NAME)`.
    """
    command = [expand(part, variables) for part in container.get("command") or []]
    arguments = [expand(part, variables) for part in container.get("args") or []]
    return (command or list(entrypoint)) + arguments


def relocated(variables: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """Variables whose values name a file below a mount path, with the folder that is mounted there instead.

    For pods without a mount namespace: the web identity token's file is told by a variable.

    Args:
        variables: of a container.
        places: mount path -> folder.
    """
    moved = dict(variables)
    for name, value in variables.items():
        # The longest first: a volume may be mounted inside another.
        for target in sorted(places, key=len, reverse=True):
            if value == target or value.startswith(f"{target}/"):
                moved[name] = places[target] + value.removeprefix(target)
                break
    return moved
