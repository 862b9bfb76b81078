"""The EKS clusters of the run, and their issuers' public keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from .config import Cluster


class Clusters:
    """The clusters by account, region and name; they can be added and changed while running.

    Args:
        clusters: Those of the configuration.
    """

    def __init__(self, clusters: tuple[Cluster, ...]) -> None:
        self._clusters: dict[tuple[str, str, str], Cluster] = {}
        self._key_files: dict[Path, tuple[tuple[int, int], Any]] = {}
        for cluster in clusters:
            self.put(cluster)

    def put(self, cluster: Cluster) -> None:
        """Add a cluster, or change the one of that account, region and name."""
        self._clusters[cluster.account, cluster.region, cluster.name] = cluster

    def remove(self, name: str) -> bool:
        """Take the clusters of a name away; False when there was none."""
        known = [key for key in self._clusters if key[2] == name]
        for key in known:
            del self._clusters[key]
        return bool(known)

    def find(self, account: str, region: str, name: str) -> Cluster | None:
        """Look a cluster up."""
        return self._clusters.get((account, region, name))

    def names(self, account: str, region: str) -> list[str]:
        """List the names of an account's clusters in a region."""
        return sorted(name for where, there, name in self._clusters if (where, there) == (account, region))

    def issuer_hosts(self) -> frozenset[str]:
        """Give the host names of all issuers."""
        hosts = {urlsplit(cluster.issuer).hostname for cluster in self._clusters.values() if cluster.issuer}
        return frozenset(host for host in hosts if host)

    def by_issuer(self, issuer: str) -> Cluster | None:
        """Find the cluster whose issuer this is, exactly."""
        return next((cluster for cluster in self._clusters.values() if cluster.issuer == issuer), None)

    def keys(self, issuer: str) -> dict[str, Any] | None:
        """Give the JSON Web Key Set of an issuer, read again when its file has changed.

        Returns:
            The key set, or None when nobody serves keys for this issuer.
        """
        cluster = self.by_issuer(issuer)
        if cluster is None or cluster.jwks is None:
            return None
        try:
            stat = cluster.jwks.stat()
            version = (stat.st_mtime_ns, stat.st_size)
            known = self._key_files.get(cluster.jwks)
            if known is None or known[0] != version:
                known = (version, json.loads(cluster.jwks.read_text(encoding="utf-8")))
                self._key_files[cluster.jwks] = known
        except (OSError, ValueError):
            return None
        return known[1] if isinstance(known[1], dict) else None
