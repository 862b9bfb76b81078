"""Scripts are the guide's bytes, save for names and declared corrections."""

import os
import re
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from harness.core.errors import ConformanceError, NotApplicable
from harness.guide import script
from harness.guide.claims import CLAIMS
from harness.guide.editions import EDITIONS, blocks, commands_for, file_code_block
from harness.guide.script import (
    CORRECTIONS,
    LITERALS,
    PRINTED,
    Correction,
    as_it_should_read,
    as_printed,
    file_block,
    prints,
)

WITH_COMMANDS = [(edition, claim) for edition in EDITIONS for claim in CLAIMS if commands_for(edition, claim)]
FILES = ("kube-access.yaml", "viewers-bind.yaml")
OTHER = {key: f"other-{chr(97 + number)}" for number, key in enumerate(PRINTED)} | {
    "teleport.version": "9.8.7"
}


def as_the_reader_sees(text: str) -> str:
    """Replace what the site shows otherwise than its source has it."""
    return re.sub(r'<Var name="([^"]+)"/>', r"\1", text).replace("(=teleport.version=)", "17.0.0-dev")


@pytest.mark.parametrize("edition", EDITIONS)
def test_with_the_printed_names_every_block_is_as_printed(
    edition: str, printed_names: Mapping[str, str]
) -> None:
    text = as_printed(edition, [claim for e, claim in WITH_COMMANDS if e == edition], printed_names)
    blocks_with_commands = [block for block in blocks(edition) if block.commands]
    assert len(blocks_with_commands) == len(blocks(edition)) - len(FILES)
    position = 0
    for block in blocks_with_commands:
        shown = {line for command in block.commands for line in (*command.output, *command.remarks)}
        pasted = [line.removeprefix("$ ") for line in block.lines if line and line not in shown]
        expected = as_the_reader_sees("".join(f"{line}\n" for line in pasted))
        assert text[position:].startswith(expected)
        position += len(expected)
    assert position == len(text)


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", FILES)
def test_with_the_printed_names_a_file_is_as_printed(
    edition: str, name: str, printed_names: Mapping[str, str]
) -> None:
    printed = "".join(f"{line}\n" for line in file_code_block(edition, name).lines)
    assert file_block(edition, name, printed_names) == printed


@pytest.mark.parametrize(("edition", "claim"), WITH_COMMANDS)
def test_only_the_names_differ_with_other_names(
    edition: str, claim: str, printed_names: Mapping[str, str]
) -> None:
    text = as_printed(edition, [claim], OTHER)
    for key, value in OTHER.items():
        text = text.replace(value, printed_names[key])
    assert text == as_printed(edition, [claim], printed_names)


def test_every_name_reaches_its_places() -> None:
    commands = "".join(
        as_printed("17", [claim], OTHER) for edition, claim in WITH_COMMANDS if edition == "17"
    )
    files = "".join(file_block("17", name, OTHER) for name in FILES)
    assert {key: (commands.count(value), files.count(value)) for key, value in OTHER.items()} == {
        "teleport.example.com": (1, 0),
        "email@example.com": (1, 0),
        "kube-iam-policy": (2, 0),
        "kube-iam-role": (4, 0),
        "kube-iam-token": (2, 0),
        "teleport-kube-agent-sa": (5, 0),
        "teleport-agent": (7, 0),
        "kube-cluster": (3, 0),
        "aws-region": (3, 0),
        "example.teleport.sh": (1, 0),
        "CLUSTER": (2, 0),
        "PROXY": (1, 0),
        "release": (1, 0),
        "role": (1, 1),
        "group": (0, 2),
        "binding": (0, 1),
        "github": (1, 0),
        "mysaml": (1, 0),
        "myoidc": (1, 0),
        "teleport.version": (1, 0),
    }


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("literal", LITERALS, ids=lambda literal: literal.key)
def test_a_literal_name_is_printed_once_at_its_place(edition: str, literal: script.Literal) -> None:
    text = "\n".join(line for block in blocks(edition) for line in block.lines)
    end = re.escape(literal.after) if literal.after else r"(?!\S)"
    assert len(re.findall(re.escape(literal.before + literal.printed) + end, text)) == 1


def test_the_order_is_the_guides_and_shared_commands_come_once(printed_names: Mapping[str, str]) -> None:
    forward = as_printed("17", ["s1.oidc-issuer", "s1.oidc-empty", "s1.annotate"], printed_names)
    assert as_printed("17", ["s1.annotate", "s1.oidc-empty", "s1.oidc-issuer"], printed_names) == forward
    assert forward.count("echo $oidc_provider\n") == 1
    assert forward.index("oidc_provider=") < forward.index("kubectl annotate")


def test_a_value_is_not_read_again() -> None:
    names = {**OTHER, "teleport-agent": "iam-cluster", "CLUSTER": "teleport-agent"}
    assert as_printed("17", ["s3.tsh-login"], names) == "tsh kube login teleport-agent\n"
    assert as_printed("17", ["s1.namespace"], names) == "kubectl create ns iam-cluster\n"


@pytest.mark.parametrize(
    ("claims", "names", "message"),
    [
        (["s1.namespace"], {"CLUSTER": "x"}, "teleport-agent"),
        (["s3.install"], PRINTED, r"teleport\.version"),
        (["s1.namespace"], {"namespace": "x"}, "'namespace'"),
        (["s1.namespace"], {"teleport-agent": "x; rm y"}, "x; rm y"),
        (["s1.namespace"], {"teleport-agent": ""}, "''"),
        (["s1.ready"], OTHER, r"s1\.ready"),
        (["s1.nothing"], OTHER, r"s1\.nothing"),
    ],
)
def test_what_cannot_be_written_is_an_error(
    claims: list[str], names: Mapping[str, str], message: str
) -> None:
    with pytest.raises(ConformanceError, match=message):
        as_printed("17", claims, names)


def test_a_claim_that_the_edition_does_not_print_is_an_error(printed_names: Mapping[str, str]) -> None:
    with pytest.raises(ConformanceError, match=r"s3\.pod-ready in edition 13"):
        as_printed("13", ["s3.pod-ready"], printed_names)


@pytest.mark.parametrize("text", ["<Var name='x'/>", "(=teleport.version"])
def test_a_placeholder_that_remains_is_an_error(text: str) -> None:
    with pytest.raises(ConformanceError, match="after replacing"):
        script._script([text], OTHER)


@pytest.mark.parametrize("correction", CORRECTIONS, ids=lambda c: f"{c.edition}:{c.claim}:{c.corrected}")
def test_a_correction_changes_one_place(correction: Correction) -> None:
    printed = "\n".join(c.text for c in commands_for(correction.edition, correction.claim))
    assert printed.count(correction.printed) == 1
    assert correction.corrected != correction.printed
    assert correction.defect
    assert correction.why


@pytest.mark.parametrize("edition", EDITIONS)
def test_only_the_corrections_differ_from_as_printed(
    edition: str, printed_names: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [claim for e, claim in WITH_COMMANDS if e == edition]
    printed, corrected = (
        as_printed(edition, claims, printed_names),
        as_it_should_read(edition, claims, printed_names),
    )
    mine = [correction for correction in CORRECTIONS if correction.edition == edition]
    expected = printed
    for correction in mine:
        assert expected.count(correction.printed) == 1
        expected = expected.replace(correction.printed, correction.corrected)
    assert corrected == expected != printed
    monkeypatch.setattr(script, "CORRECTIONS", ())
    assert as_it_should_read(edition, claims, printed_names) == printed


def test_a_correction_without_its_place_is_an_error(
    printed_names: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Correction("17", "s2.token", "not printed", "x", "defect", "why")
    monkeypatch.setattr(script, "CORRECTIONS", (gone,))
    with pytest.raises(ConformanceError, match="0 times"):
        as_it_should_read("17", ["s2.token"], printed_names)


def in_bash(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with a `helm` that prints its arguments, one a line."""
    helm = folder / "helm"
    helm.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    helm.chmod(0o700)
    environment = {"PATH": f"{folder}{os.pathsep}{os.defpath}"}
    return subprocess.run(
        ["bash"],
        input=text,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_edition_13_as_printed_loses_the_values_after_its_first_comment(
    printed_names: Mapping[str, str], tmp_path: Path
) -> None:
    result = in_bash(as_printed("13", ["s3.install"], printed_names), tmp_path)
    arguments = result.stdout.splitlines()
    assert arguments.count("--set") == 5
    assert arguments[-1] == "serviceAccount.create=false"
    assert "--set: command not found" in result.stderr


@pytest.mark.parametrize(("edition", "roles"), [("13", []), ("17", ["roles=kube"]), ("18", ["roles=kube"])])
def test_the_install_as_it_should_read_reaches_helm_whole(
    edition: str, roles: list[str], printed_names: Mapping[str, str], tmp_path: Path
) -> None:
    result = in_bash(as_it_should_read(edition, ["s3.install"], printed_names), tmp_path)
    arguments = result.stdout.splitlines()
    values = [value for flag, value in pairwise(arguments) if flag == "--set"]
    assert result.stderr == ""
    assert values == [
        "kubeClusterName=iam-cluster",
        *roles,
        "proxyAddr=tele.example.com:443",
        "joinParams.method=iam",
        "joinParams.tokenName=kube-iam-token",
        "serviceAccount.create=false",
        "serviceAccount.name=teleport-kube-agent-sa",
    ]
    assert arguments[-4:] == ["--create-namespace", "--namespace=teleport-agent", "--version", "17.0.0-dev"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_account_and_partition_come_from_one_answer(
    edition: str, printed_names: Mapping[str, str], tmp_path: Path
) -> None:
    aws = 'aws() { printf "111122223333\\tarn:aws-cn:iam::111122223333:user/reader\\n"; }\n'
    script = as_it_should_read(edition, ["s1.account-id"], printed_names)
    result = in_bash(f'{aws}{script}echo "$account_id $partition"\n', tmp_path)
    assert result.stdout == "111122223333 aws-cn\n"


@pytest.mark.parametrize(
    ("claim", "file"), [("s1.trust", "trust-relationship.json"), ("s2.token", "token.yaml")]
)
def test_a_file_is_not_written_without_its_variables(
    claim: str, file: str, printed_names: Mapping[str, str], tmp_path: Path
) -> None:
    printed = in_bash("aws() { :; }\n" + as_printed("17", [claim], printed_names), tmp_path)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert "iam::" in (tmp_path / file).read_text() or "sts::" in (tmp_path / file).read_text()
    corrected = in_bash("aws() { :; }\n" + as_it_should_read("17", [claim], printed_names), tmp_path)
    assert "parameter null or not set" in corrected.stderr
    assert (tmp_path / file).read_text() == ""


def test_a_command_does_not_run_without_its_variables(
    printed_names: Mapping[str, str], tmp_path: Path
) -> None:
    kubectl = "kubectl() { echo ran; }\n"
    printed = in_bash(kubectl + as_printed("17", ["s1.annotate"], printed_names), tmp_path)
    corrected = in_bash(kubectl + as_it_should_read("17", ["s1.annotate"], printed_names), tmp_path)
    assert (printed.returncode, printed.stdout) == (0, "ran\n")
    assert (corrected.returncode != 0, corrected.stdout) == (True, "")
    assert "partition: parameter null or not set" in corrected.stderr


def test_a_scenario_about_a_printed_text_needs_it() -> None:
    prints("13", "s3.install", "# do not create")
    with pytest.raises(NotApplicable, match="edition 17 does not print '# do not create'") as caught:
        prints("17", "s3.install", "# do not create")
    assert caught.value.code == "prerequisite-not-met"


def test_variables_persist_into_later_blocks(printed_names: Mapping[str, str], tmp_path: Path) -> None:
    token = as_printed("13", ["s2.token"], printed_names)
    in_bash("account_id=111122223333\n" + token, tmp_path)
    written = (tmp_path / "token.yaml").read_text(encoding="utf-8")
    assert 'aws_arn: "arn:aws:sts::111122223333:assumed-role/kube-iam-role/*"' in written
