"""The editions are parsed whole, and each claim finds its commands."""

import hashlib
from pathlib import Path

import pytest

from harness.core.errors import ConformanceError, UsageError
from harness.guide import editions
from harness.guide.claims import CLAIMS
from harness.guide.editions import (
    EDITIONS,
    INLINE,
    RECONSTRUCTED,
    TOKEN_ROLES,
    blocks,
    blocks_for,
    commands_for,
    edition_for,
    file_code_block,
    parse,
    printed_output,
)

EDITION_FILES = Path(editions.__file__).parent / "editions"
SHA256 = {
    "13": "11994d09b988afe7d6abb4e1d781068dd53edb23a24484f65000ac3184e0c634",
    "17": "ab318d7eff41b8ffc5576a96e3e2201032ed80c31c4c2b8b5fe0d1c951239dd0",
    "18": "9c5ca71ed0c0e0db2bbff77a70ace9a627a8cd1ece92f454a0b35612136434a1",
}
each_edition = pytest.mark.parametrize("edition", EDITIONS)


@each_edition
def test_an_edition_is_not_edited(edition: str) -> None:
    assert hashlib.sha256((EDITION_FILES / f"{edition}.mdx").read_bytes()).hexdigest() == SHA256[edition]


@each_edition
def test_an_edition_is_the_guides_own_text(edition: str, shared_guide: Path) -> None:
    printed = (shared_guide / "editions" / f"{edition}.mdx").read_bytes()
    assert (EDITION_FILES / f"{edition}.mdx").read_bytes() == printed


@each_edition
def test_every_block_is_found_with_its_place(edition: str) -> None:
    text = (EDITION_FILES / f"{edition}.mdx").read_text(encoding="utf-8")
    lines = text.splitlines()
    fenced = [block for block in blocks(edition) if block.language != INLINE]
    assert len(fenced) * 2 == sum(line.startswith("```") for line in lines)
    for block in fenced:
        first = block.line - 1
        assert lines[first - 1] == f"```{block.language}"
        assert tuple(lines[first : first + len(block.lines)]) == block.lines


@each_edition
def test_commands_output_and_remarks_are_the_whole_block(edition: str) -> None:
    for block in blocks(edition):
        if block.language != "code":
            continue
        rebuilt = [
            line
            for command in block.commands
            for line in (*command.remarks, *f"$ {command.text}".split("\n"), *command.output)
        ]
        assert rebuilt == [line for line in block.lines if line]


@each_edition
def test_every_printed_command_belongs_to_a_claim(edition: str) -> None:
    printed = [command for block in blocks(edition) for command in block.commands]
    assert len(printed) == len(set(printed))
    assert set(printed) == {c for claim in CLAIMS for c in commands_for(edition, claim)}


@each_edition
@pytest.mark.parametrize("claim", [c.id for c in CLAIMS.values() if c.commands])
def test_every_claim_with_a_command_has_its_blocks(edition: str, claim: str) -> None:
    found = blocks_for(edition, claim)
    if edition in CLAIMS[claim].not_printed_in:
        assert found == ()
        return
    section = CLAIMS[claim].section
    assert found
    assert all(block.section.startswith(section) for block in found)
    assert len(commands_for(edition, claim)) == len(CLAIMS[claim].commands)


def test_a_here_document_is_one_command_with_the_next_one_apart() -> None:
    document, create = commands_for("17", "s1.policy")
    assert document.text.startswith("cat >iam-policy.json <<EOF\n{")
    assert document.text.endswith("}\nEOF")
    assert create.text.count("\n") == 0
    assert create.output[0] == "{"


def test_continued_lines_are_one_command_even_with_comments_between() -> None:
    *_, install = commands_for("13", "s3.install")
    assert len(install.text.splitlines()) == 10
    assert install.text.endswith("--version (=teleport.version=)")


def test_comments_are_told_from_sample_output() -> None:
    (listing,) = commands_for("17", "s3.tsh-ls")
    (login,) = commands_for("17", "s3.tsh-login")
    assert listing.output[-1] == "# iam-cluster"
    assert login.remarks == ("# kubeconfig now points to the iam-cluster cluster",)
    assert login.output[0].startswith("# Logged into Kubernetes cluster")


def test_tabs_are_known_and_end_with_their_section() -> None:
    (eksctl,) = blocks_for("17", "s1.eksctl")
    (annotate,) = blocks_for("17", "s1.annotate")
    (token,) = blocks_for("17", "s2.token")
    assert (eksctl.tab, annotate.tab, token.tab) == ("Using eksctl", "Using AWS CLI", None)


def test_a_command_inside_a_sentence_is_a_block() -> None:
    (block,) = blocks_for("18", "s2.create")
    assert (block.language, block.lines) == (INLINE, ("tctl create token.yaml",))


def test_printed_output_has_the_guides_names() -> None:
    assert printed_output("17", "s1.namespace") == "namespace/teleport-agent created\n"
    assert printed_output("17", "s2.token") == ""
    assert "teleport-agent-0   1/1     Running" in printed_output("17", "s3.pod-ready")


@pytest.mark.parametrize(
    ("version", "edition"),
    [
        ("12.0.0-alpha.2", "13"),
        ("13.0.0-dev", "13"),
        ("14.3.1", "17"),
        ("v17.7.23", "17"),
        ("18.7.6-cloud.1", "18"),
    ],
)
def test_the_edition_follows_the_major_version(version: str, edition: str) -> None:
    assert edition_for(version) == edition


@pytest.mark.parametrize("version", ["11.3.0", "19.0.0", "unknown", "180.1.0", ""])
def test_a_version_without_edition_asks_for_the_option(version: str) -> None:
    with pytest.raises(UsageError, match="--guide-edition"):
        edition_for(version)


def test_an_unknown_edition_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="16"):
        blocks("16")


@pytest.mark.parametrize("edition", EDITIONS)
def test_file_blocks_belong_to_their_claims(edition: str) -> None:
    role = file_code_block(edition, "kube-access.yaml")
    assert role in blocks_for(edition, "ts.role-created")
    assert file_code_block(edition, "viewers-bind.yaml") in blocks_for(edition, "ts.viewers-bound")
    assert (edition, "kube-access.yaml") in RECONSTRUCTED or "version: v7" in role.lines


def test_an_unknown_file_is_named() -> None:
    with pytest.raises(ConformanceError, match=r"viewers\.yaml"):
        file_code_block("17", "viewers.yaml")


def test_an_open_fence_is_an_error() -> None:
    with pytest.raises(ConformanceError, match="line 2"):
        parse("```code\n$ tctl status\n")


def test_a_command_that_the_edition_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editions, "blocks", lambda edition: ())
    with pytest.raises(ConformanceError, match="0 times"):
        commands_for("17", "s1.policy")


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_roles_of_the_token_are_those_that_the_edition_prints(edition: str) -> None:
    (printed,) = (
        line
        for command in commands_for(edition, "s2.token")
        for line in command.text.splitlines()
        if "roles: [" in line
    )
    assert printed.strip() == f"roles: [{','.join(TOKEN_ROLES[edition])}]"
