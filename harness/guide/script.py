"""The guide's commands as a shell script, as printed or as they should read.

A script is what a reader pastes: the commands of the claims in the guide's order, one after another,
in one shell. Variables persist, and a failing line does not stop the rest. Running it is not done here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.core.errors import ConformanceError, NotApplicable, NotApplicableCode
from harness.guide.editions import (
    EDITIONS,
    Command,
    blocks,
    commands_for,
    file_code_block,
)


@dataclass(frozen=True)
class Literal:
    """A name that the guide prints without marking it as the reader's own (design rule 8).

    Attributes:
        key: its key in a mapping of names.
        printed: the name as printed.
        before: what stands directly before it on its line.
        after: what stands directly after it; empty for the end of the word.
    """

    key: str
    printed: str
    before: str
    after: str = ""


LITERALS = (
    Literal("example.teleport.sh", "example.teleport.sh", before="curl https://", after="/v1/"),
    Literal("CLUSTER", "iam-cluster", before="CLUSTER="),
    Literal("CLUSTER", "iam-cluster", before="tsh kube login "),
    Literal("PROXY", "tele.example.com:443", before="PROXY="),
    Literal("release", "teleport-agent", before="helm install "),
    Literal("role", "kube-access", before='"${ROLES?},', after='"'),
    Literal("role", "kube-access", before="  name: "),
    Literal("group", "viewers", before="    - "),
    Literal("group", "viewers", before="  name: "),
    Literal("binding", "viewers-crb", before="  name: "),
    Literal("github", "github", before="tctl edit github/"),
    Literal("mysaml", "mysaml", before="--with-secrets saml/"),
    Literal("myoidc", "myoidc", before="tctl get oidc/"),
)
"""The declared list of literal names; the names marked `<Var>` have their printed text as key."""

_VARS = (
    "teleport.example.com",
    "email@example.com",
    "kube-iam-policy",
    "kube-iam-role",
    "kube-iam-token",
    "teleport-kube-agent-sa",
    "teleport-agent",
    "kube-cluster",
    "aws-region",
)

PRINTED: Mapping[str, str] = MappingProxyType(
    {name: name for name in _VARS} | {literal.key: literal.printed for literal in LITERALS}
)
"""The guide's own names by key; `teleport.version`, which its site fills in, is not among them."""

_SITE_KEYS = ("teleport.version",)


@dataclass(frozen=True)
class Correction:
    """A guide defect and the text that cures it (design rule 12).

    Attributes:
        edition: the edition that has the defect.
        claim: the claim whose commands have it.
        printed: the text as printed, once in these commands.
        corrected: what takes its place.
        defect: what goes wrong.
        why: why the correction cures it.
    """

    edition: str
    claim: str
    printed: str
    corrected: str
    defect: str
    why: str


_COMMENTED_LINES = (
    ("=false # do not create a new service account # \\", "=false \\"),
    (" # use the existing service account # \\", " \\"),
)
_PARTITION = "${partition:?}"
_ACCOUNT = "${account_id:?}"
_PROVIDER = "${oidc_provider:?}"
# Three defects of the same words: zsh, a new shell, another partition.
_VARIABLES = (
    (
        "s1.trust",
        "arn:aws:iam::$account_id:oidc-provider/$oidc_provider",
        f"arn:{_PARTITION}:iam::{_ACCOUNT}:oidc-provider/{_PROVIDER}",
    ),
    ("s1.trust", "$oidc_provider:aud", f"{_PROVIDER}:aud"),
    ("s1.trust", "$oidc_provider:sub", f"{_PROVIDER}:sub"),
    ("s1.annotate", "arn:aws:iam::$account_id:role", f"arn:{_PARTITION}:iam::{_ACCOUNT}:role"),
    ("s2.token", '"$account_id"', f'"{_ACCOUNT}"'),
    (
        "s2.token",
        "arn:aws:sts::$account_id:assumed-role",
        f"arn:{_PARTITION}:sts::{_ACCOUNT}:assumed-role",
    ),
)
_ROLES = (
    (
        "17",
        "s3.install",
        r'roles="kube\,app\,discovery"',
        "roles=kube",
        "The token allows Kube alone, so App and Discovery never join.",
    ),
    (
        "18",
        "s3.install",
        r'roles="kube\,app\,discovery"',
        "roles=kube",
        "Services are deployed that the guide does not use.",
    ),
    (
        "18",
        "s2.token",
        "roles: [Kube,App,Discovery]",
        "roles: [Kube]",
        "The comment above asks for the minimal roles, and these are more.",
    ),
)

CORRECTIONS = (
    *(
        Correction(
            "13",
            "s3.install",
            printed,
            corrected,
            defect="A comment between continued lines ends the command, and all values after it are lost.",
            why="Without the comment the backslash is the line's last character and continues it.",
        )
        for printed, corrected in _COMMENTED_LINES
    ),
    *(
        Correction(
            edition,
            claim,
            printed,
            corrected,
            defect=(
                "zsh takes the colon and letter after an unbraced variable for a modifier; a new shell has no "
                "such variable and goes on with nothing in its place; in other partitions no ARN begins with "
                "arn:aws."
            ),
            why=(
                "Braces end the variable's name, :? stops where it is empty, and bash and zsh know both; the "
                "partition is asked for with the account."
            ),
        )
        for edition in EDITIONS
        for claim, printed, corrected in _VARIABLES
    ),
    *(
        Correction(
            edition,
            "s1.account-id",
            'account_id=$(aws sts get-caller-identity --query "Account" --output text)',
            'caller=$(aws sts get-caller-identity --query "[Account,Arn]" --output text)\n'
            'account_id=$(echo "$caller" | cut -f1)\n'
            'partition=$(echo "$caller" | cut -d: -f2)',
            defect="The ARNs of later commands name the partition aws, whatever the account's own is.",
            why="The caller's ARN has the partition as its second field.",
        )
        for edition in EDITIONS
    ),
    *(
        Correction(
            edition,
            "s1.eksctl",
            "arn:aws:iam::aws:policy/",
            "arn:aws:iam::$(aws sts get-caller-identity --query Account --output text):policy/",
            defect="Account aws has the policies of AWS only; the one made before is the reader's own.",
            why="create-policy made it in the reader's account, which is known only later in the guide.",
        )
        for edition in EDITIONS
    ),
    *(
        Correction(
            edition,
            f"ts.{what}",
            'echo "$CURRENT_ROLES" | xargs -I{} tctl get roles/{} --format json | \\\n'
            f"  jq '.[0].spec.allow.kubernetes_{what}[]?'",
            f"tsh status -f json | jq '.active.kubernetes_{what}[]?'",
            defect="A preset role has a template there, which is printed and may stand for nothing.",
            why="The certificate has what the templates of all roles came to.",
        )
        for edition in EDITIONS
        for what in ("groups", "users")
    ),
    *(
        Correction(
            edition,
            claim,
            printed,
            corrected,
            defect=defect,
            why="gravitational/teleport#67465 settled on Kube alone, in the token and at the agent.",
        )
        for edition, claim, printed, corrected, defect in _ROLES
    ),
)
"""Every declared correction. A defect that no change of a command cures is not here."""

_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]*")


def as_printed(edition: str, claims: Sequence[str], names: Mapping[str, str]) -> str:
    """Return the script of the claims, byte-equal to the edition save for the names.

    Args:
        edition: one of `EDITIONS`.
        claims: ids of claims with commands. The script has the guide's order whatever order they have,
            and a command that two of them share once.
        names: keys of `PRINTED`, and `teleport.version`, to the names to use. Only those that
            the script contains are needed.

    Raises:
        ConformanceError: a claim is unknown or has no command in this edition; a name is missing,
            unknown, or not safe in a shell word.
    """
    return _script([command.text for command in _commands(edition, claims)], names)


def as_it_should_read(edition: str, claims: Sequence[str], names: Mapping[str, str]) -> str:
    """Return the script of the claims with the declared `CORRECTIONS`, and otherwise as `as_printed`.

    Raises:
        ConformanceError: as `as_printed`; also when a correction does not apply to exactly one place.
    """
    texts = {command: command.text for command in _commands(edition, claims)}
    for correction in CORRECTIONS:
        if correction.edition == edition:
            concerned = [command for command in commands_for(edition, correction.claim) if command in texts]
            if concerned:
                _correct(texts, concerned, correction)
    return _script(list(texts.values()), names)


def prints(edition: str, claim: str, text: str) -> None:
    """Sees that an edition prints a text among the commands of a claim, as a scenario about it needs.

    Raises:
        NotApplicable: It does not.
    """
    if not any(text in command.text for command in commands_for(edition, claim)):
        raise NotApplicable(
            NotApplicableCode.PREREQUISITE_NOT_MET, f"edition {edition} does not print {text!r} for {claim}"
        )


def file_block(edition: str, name: str, names: Mapping[str, str]) -> str:
    """Return the content of a file that the guide has its reader make in an editor.

    Args:
        edition: one of `EDITIONS`.
        name: the file's name as printed, `kube-access.yaml` or `viewers-bind.yaml`.
        names: as in `as_printed`.

    Raises:
        ConformanceError: the guide has no such file, or as `as_printed` for names.
    """
    return _script(["\n".join(file_code_block(edition, name).lines)], names)


def _commands(edition: str, claims: Sequence[str]) -> list[Command]:
    wanted: set[Command] = set()
    for claim in claims:
        commands = commands_for(edition, claim)
        if not commands:
            raise ConformanceError(
                expected=f"a command for claim {claim} in edition {edition}",
                seen="the edition prints none",
                remedy="Check that claim without the guide's commands, or in another edition.",
            )
        wanted.update(commands)
    return [command for block in blocks(edition) for command in block.commands if command in wanted]


def _correct(texts: dict[Command, str], concerned: list[Command], correction: Correction) -> None:
    """Apply a correction to the one command that has its text."""
    places = sum(texts[command].count(correction.printed) for command in concerned)
    if places != 1:
        raise ConformanceError(
            expected=f"{correction.printed!r} once among the commands of {correction.claim}, "
            f"edition {correction.edition}",
            seen=f"{places} times",
            remedy="Make the correction in harness/guide/script.py name one place.",
        )
    for command in concerned:
        texts[command] = texts[command].replace(correction.printed, correction.corrected)


def _placeholders() -> re.Pattern[str]:
    """Build the one pattern for all that is replaced, so that no replaced value is read again."""
    alternatives = [r'<Var name="(?P<var>[^"]+)"/>', r"\(=(?P<site>[^=]+)=\)"]
    for number, literal in enumerate(LITERALS):
        after = f"(?={re.escape(literal.after)})" if literal.after else r"(?!\S)"
        printed = f"(?P<literal{number}>{re.escape(literal.printed)})"
        alternatives.append(f"(?<={re.escape(literal.before)}){printed}{after}")
    return re.compile("|".join(alternatives))


_PLACEHOLDERS = _placeholders()
_REMAINING = re.compile(r"<Var.*|\(=.*")


def _script(texts: list[str], names: Mapping[str, str]) -> str:
    """Join the texts, each ended by a line break, and replace the names."""
    _check(names)

    def value(match: re.Match[str]) -> str:
        group = str(match.lastgroup)
        literal = group.removeprefix("literal")
        key = LITERALS[int(literal)].key if literal != group else match[group]
        if key not in names:
            raise ConformanceError(
                expected=f"a name for the guide's {key!r}",
                seen=f"none among {', '.join(sorted(names)) or 'no names at all'}",
                remedy=f"Add the key {key!r} to the names.",
            )
        return names[key]

    script = _PLACEHOLDERS.sub(value, "".join(f"{text}\n" for text in texts))
    remaining = _REMAINING.search(script)
    if remaining:
        raise ConformanceError(
            expected='placeholders written as <Var name="…"/> or (=…=)',
            seen=f"{remaining[0]!r} after replacing them",
            remedy="Restore the edition's file, or teach harness/guide/script.py this form.",
        )
    return script


def _check(names: Mapping[str, str]) -> None:
    for key, name in names.items():
        if key not in PRINTED and key not in _SITE_KEYS:
            raise ConformanceError(
                expected=f"one of the guide's names: {', '.join((*PRINTED, *_SITE_KEYS))}",
                seen=repr(key),
                remedy="Correct the key.",
            )
        if not _VALUE.fullmatch(name):
            raise ConformanceError(
                expected=f"a name for {key!r} of letters, digits and . _ : @ / + - alone",
                seen=repr(name),
                remedy="Choose another name; the guide prints it unquoted.",
            )
