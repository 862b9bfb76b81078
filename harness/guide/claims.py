"""The guide's claims, each with the id that scenarios carry as a tag (`@guide:ID`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.documents import read_yaml
from harness.core.errors import ConformanceError


@dataclass(frozen=True)
class Claim:
    """One step, promise or warning of the guide.

    Attributes:
        id: fixed name, for instance `s1.policy`.
        section: the guide's section, shortened.
        text: the claim in a sentence, as edition 17 has it.
        defect: what looks wrong in the guide as written, or None.
        revisions: edition -> what the claim's wording counts as from that edition on, where an edition
            changes what is claimed; 1 before the first of them.
        untestable: why no scenario can check it, or None.
        commands: how each printed command of the claim begins; empty for a claim without a command.
        comments: words of printed comments that make the claim.
        files: names of the files that the reader makes in an editor for it.
        not_printed_in: editions that have the claim but do not print its commands.
    """

    id: str
    section: str
    text: str
    defect: str | None = None
    revisions: Mapping[str, int] = field(default_factory=dict)
    untestable: str | None = None
    commands: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    not_printed_in: tuple[str, ...] = ()

    @property
    def revision(self) -> int:
        """The newest revision."""
        return max(self.revisions.values(), default=1)

    def revision_in(self, edition: str) -> int:
        """Return the revision that an edition of the guide has."""
        return max((revision for e, revision in self.revisions.items() if int(e) <= int(edition)), default=1)


def _load(text: str) -> Mapping[str, Claim]:
    """Read the claims from YAML; an unknown field or a repeated id raises."""
    claims: dict[str, Claim] = {}
    for group in read_yaml(text):
        for claim_id, fields in group["claims"].items():
            if claim_id in claims:
                raise ConformanceError(
                    expected="each claim id once in claims.yaml",
                    seen=f"{claim_id} in two sections",
                    remedy="Give one of the two another id.",
                )
            claims[claim_id] = _claim(claim_id, group["section"], fields)
    return MappingProxyType(claims)


def _claim(claim_id: str, section: str, fields: Mapping[str, Any]) -> Claim:
    frozen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Claim(id=claim_id, section=section, **frozen)


CLAIMS: Mapping[str, Claim] = _load(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))


def claim_with(claim_id: str) -> Claim:
    """Return the claim of that id.

    Raises:
        ConformanceError: there is no such claim.
    """
    if claim_id not in CLAIMS:
        raise ConformanceError(
            expected="the id of a claim of the guide",
            seen=repr(claim_id),
            remedy="Use one of the ids in harness/guide/claims.yaml.",
        )
    return CLAIMS[claim_id]
