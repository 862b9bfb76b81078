"""A pod's volumes: folders of files, written once and kept current."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simulators.kubelet.api import Api, ApiError, UnreachableError
from simulators.kubelet.environment import ConfigurationError, Reader, expand, field_value, resource_value
from simulators.kubelet.objects import Mount, Object, find, moment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simulators.kubelet.decisions import Decisions

log = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
FILE_MODE = 0o644
COLLECTIONS = {"configmap": "configmaps", "secret": "secrets"}

Files = dict[str, tuple[bytes, int]]
"""Path within a volume -> content and mode."""


class VolumeError(Exception):
    """A volume cannot be set up, now or at all; the text is the event's."""


@dataclass(frozen=True)
class Token:
    """A service account token as the API server issued it."""

    value: bytes
    issued: datetime
    expires: datetime


def reader(api: Api, namespace: str) -> Reader:
    """A function that reads ConfigMaps and Secrets of a namespace.

    Args:
        api: where they are.
        namespace: of the pod.
    """

    async def read(kind: str, name: str) -> dict[str, bytes] | None:
        try:
            found = await api.call("GET", f"/api/v1/namespaces/{namespace}/{COLLECTIONS[kind]}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        data = found.get("data") or {}
        if kind == "secret":
            return {key: base64.b64decode(value) for key, value in data.items()}
        binary = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
        return {key: value.encode() for key, value in data.items()} | binary

    return read


class Volumes:
    """The volumes of one pod.

    Args:
        api: the API server.
        pod: as the API has it.
        folder: the volumes lie below it, one folder each.
        decisions: of the kubelet.
    """

    def __init__(self, api: Api, pod: Object, folder: Path, decisions: Decisions) -> None:
        self._api = api
        self._pod = pod
        self._namespace = pod["metadata"]["namespace"]
        self._folder = folder
        self._decisions = decisions
        self._read = reader(api, self._namespace)
        self._tokens: dict[tuple[str, str], Token] = {}

    async def set_up(self) -> None:
        """Write all volumes, or bring them up to date.

        Raises:
            VolumeError: one of them cannot be set up.
        """
        for volume in self._pod["spec"].get("volumes") or []:
            place = self._folder / volume["name"]
            try:
                await self._set_up_one(volume, place)
            except (VolumeError, ConfigurationError, ApiError, UnreachableError) as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise VolumeError(text) from error

    async def _set_up_one(self, volume: Object, place: Path) -> None:
        if "emptyDir" in volume:
            make_folder(place, 0o777)
            return
        kinds: dict[str, Callable[[Object], Awaitable[Files]]] = {
            "configMap": self._config_map,
            "secret": self._secret,
            "projected": partial(self._projected, volume["name"]),
            "downwardAPI": self._downward,
        }
        for field, files_of in kinds.items():
            if field in volume:
                files = await files_of(volume[field])
                await asyncio.to_thread(write_files, place, files)
                return
        kind = next(key for key in volume if key != "name")
        raise VolumeError(f"{kind} volumes are not supported by the lab's kubelet")

    async def keep_current(self) -> None:
        """Renew tokens when they are due, and copy changed ConfigMaps and Secrets; for ever."""
        loop = asyncio.get_running_loop()
        refreshed = loop.time()
        while True:
            lives = [(token.expires - token.issued).total_seconds() for token in self._tokens.values()]
            await asyncio.sleep(min([REFRESH_SECONDS, *(max(life / 20, 0.05) for life in lives)]))
            if self._token_due() or loop.time() - refreshed >= REFRESH_SECONDS:
                try:
                    await self.set_up()
                except (VolumeError, OSError) as error:
                    log.warning("pod %s: %s", self._pod["metadata"]["name"], error)
                refreshed = loop.time()

    def _token_due(self) -> bool:
        now = datetime.now(UTC)
        return any(
            self._decisions.token_due_for_renewal(token.issued, token.expires, now)
            for token in self._tokens.values()
        )

    def mounts(self, container: Object, variables: dict[str, str]) -> list[Mount]:
        """Where a container sees which volume.

        Args:
            container: its specification.
            variables: its environment, for subPathExpr.
        """
        result = []
        for mount in container.get("volumeMounts") or []:
            volume = find(self._pod["spec"].get("volumes") or [], mount["name"]) or {}
            source = self._folder / mount["name"]
            inner = mount.get("subPath") or expand(mount.get("subPathExpr") or "", variables)
            if inner:
                source /= inner
                if not source.exists():
                    source.mkdir(parents=True)
            read_only = bool(mount.get("readOnly")) or "emptyDir" not in volume
            result.append(Mount(str(source), mount["mountPath"], read_only))
        return result

    async def _config_map(self, source: Object) -> Files:
        return await self._from_object("configmap", source["name"], source)

    async def _secret(self, source: Object) -> Files:
        return await self._from_object("secret", source.get("secretName") or source["name"], source)

    async def _from_object(self, kind: str, name: str, source: Object) -> Files:
        mode = source.get("defaultMode", FILE_MODE)
        entries = await self._read(kind, name)
        if entries is None:
            if source.get("optional"):
                return {}
            raise VolumeError(f'{kind} "{name}" not found')
        if not source.get("items"):
            return {key: (value, mode) for key, value in entries.items()}
        files: Files = {}
        for item in source["items"]:
            if item["key"] in entries:
                files[item["path"]] = (entries[item["key"]], item.get("mode", mode))
            elif not source.get("optional"):
                raise VolumeError(f"references non-existent {kind} key: {item['key']}")
        return files

    async def _downward(self, source: Object) -> Files:
        mode = source.get("defaultMode", FILE_MODE)
        files: Files = {}
        for item in source.get("items") or []:
            if "fieldRef" in item:
                value = field_value(self._pod, item["fieldRef"]["fieldPath"])
            else:
                reference = item["resourceFieldRef"]
                containers = self._pod["spec"]["containers"]
                value = resource_value(find(containers, reference["containerName"]) or {}, reference)
            files[item["path"]] = (value.encode(), item.get("mode", mode))
        return files

    async def _projected(self, name: str, volume: Object) -> Files:
        default = volume.get("defaultMode", FILE_MODE)
        files: Files = {}
        for source in volume.get("sources") or []:
            if "serviceAccountToken" in source:
                token = source["serviceAccountToken"]
                files[token["path"]] = (await self._token(name, token), default)
            elif "configMap" in source:
                files |= await self._config_map({"defaultMode": default} | source["configMap"])
            elif "secret" in source:
                files |= await self._secret({"defaultMode": default} | source["secret"])
            elif "downwardAPI" in source:
                files |= await self._downward({"defaultMode": default} | source["downwardAPI"])
            else:
                raise VolumeError(
                    f"projected sources {sorted(source)} are not supported by the lab's kubelet"
                )
        return files

    async def _token(self, name: str, source: Object) -> bytes:
        key = (name, source["path"])
        held = self._tokens.get(key)
        now = datetime.now(UTC)
        if held and not self._decisions.token_due_for_renewal(held.issued, held.expires, now):
            return held.value
        meta = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName", "default")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        wish = {"expirationSeconds": source.get("expirationSeconds", 3600), "boundObjectRef": bound}
        wish["audiences"] = [source["audience"]] if source.get("audience") else []
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": wish}
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
        status = (await self._api.call("POST", path, request))["status"]
        self._tokens[key] = Token(status["token"].encode(), now, moment(status["expirationTimestamp"]))
        return self._tokens[key].value


def make_folder(place: Path, mode: int) -> None:
    """Make a folder with exactly this mode; one that exists stays as it is."""
    if not place.exists():
        place.mkdir(parents=True)
        place.chmod(mode)


def write_files(place: Path, files: Files) -> None:
    """Make a volume's folder hold these files and no others, each replaced as a whole.

    Args:
        place: the volume's folder.
        files: what it is to hold.

    Raises:
        VolumeError: a path leads out of the volume.
    """
    make_folder(place, 0o755)
    staging = place.with_name(f".{place.name}.new")
    for name, (content, mode) in files.items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise VolumeError(f"path {name!r} leads out of the volume")
        target = place / name
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        staging.chmod(mode)
        staging.replace(target)
    for path in place.rglob("*"):
        if path.is_file() and str(path.relative_to(place)) not in files:
            path.unlink()
