"""A text drifts by what it has gone, changed, moved and new, and by nothing else."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.guide import drift, editions
from harness.guide.drift import Comparison, Drift, compare
from harness.guide.editions import EDITIONS
from harness.guide.passages import _passage, row_for
from harness.guide.pieces import Piece, pieces
from harness.guide.places import located
from harness.guide.reading import read

STORED = {
    edition: (Path(editions.__file__).parent / "editions" / f"{edition}.mdx").read_text(encoding="utf-8")
    for edition in EDITIONS
}

# An invented guide: the real one's prose is not ours to print.
PROSE = {
    "title": "How to keep bees",
    "intro": "Bees are kept in boxes that stand in a row behind the house, away from the wind.",
    "warning": "Never open a box in the rain, since the bees then stay inside and sting whoever comes.",
    "number": "Boxes >= 3.4.2",
    "first": "Count the boxes with this command, and write the number on the wall:",
    "second": "Then look after each box, one after the other, from left to right:",
    "end": "Do all of it again after the summer, when the honey has been taken out.",
}
CLAIMS = {"warning": ("s1.node-identity-risk",), "number": ("pre.helm-version",), "end": ("ts.relogin",)}
COUNT = 'bees count --row=<Var name="row"/> \\\n  --all'
CARE = 'cat >care.yaml <<EOF\nbox:\n  open: false\n  # never in the rain\n  name: "$box"\nEOF'


def passage(name: str) -> Piece:
    text = PROSE[name]
    kind = "heading" if name == "title" else "sentence"
    found = _passage("Bees", {"kind": kind, **row_for(text)})
    return Piece(kind, CLAIMS.get(name, ()), found.quote, found)


INVENTED = (
    *(passage(name) for name in ("title", "intro", "warning", "number", "first")),
    Piece("command", ("s3.install",), COUNT),
    Piece("output", ("s3.install",), "# 12 boxes"),
    passage("second"),
    Piece("command", ("s2.token",), CARE),
    passage("end"),
)

PLAIN = "\n".join(
    [
        *(PROSE[name] for name in ("title", "intro", "warning", "number")),
        f"{PROSE['first']}bees count --row=row \\ --all12 boxes",
        f"{PROSE['second']}{' '.join(CARE.split())}",
        PROSE["end"],
    ]
)
MDX = f"""---
title: {PROSE["title"]}
---
{textwrap.fill(PROSE["intro"], 30)}

<Admonition type="warning">
{textwrap.fill(PROSE["warning"], 40)}
</Admonition>

- Boxes >= `3.4.2`

1. {PROSE["first"]}

   ```code
   $ bees count --row=<Var name="row"/> \\
     --all
   # 12 boxes
   ```

1. {PROSE["second"]}

   ```code
{textwrap.indent(f"$ {CARE}", "   ")}
   ```

{PROSE["end"]}
"""


@pytest.fixture
def bees(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    """Compares with the invented guide."""
    monkeypatch.setattr(drift, "pieces", lambda edition: INVENTED)
    return lambda source, **options: compare(source, "17", **options)


def only(found: Comparison) -> Drift:
    [one] = found.drifts
    return one


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_edition_does_not_drift_from_itself(edition: str) -> None:
    found = compare(STORED[edition], edition, commands_only=True)
    assert found.drifts == ()
    assert found.compared > 45


def test_the_text_that_the_passages_were_taken_from_does_not_drift(shared_guide: Path) -> None:
    text = (shared_guide / "iam-joining-guide.txt").read_text(encoding="utf-8")
    found = compare(text, "17")
    assert found.drifts == ()
    assert found.compared > 200
    assert compare(" ".join(text.split()).replace("'", "\u2019"), "17").drifts == ()


def test_a_renamed_flag_is_seen_in_the_whole_text(shared_guide: Path) -> None:
    text = (shared_guide / "iam-joining-guide.txt").read_text(encoding="utf-8")
    one = only(compare(text.replace("--set joinParams.tokenName", "--set joinParams.token"), "17"))
    assert (one.kind, one.what, one.claims[0]) == ("changed", "command", "s3.install")


def test_a_dropped_warning_is_seen_in_the_whole_text(shared_guide: Path) -> None:
    text = (shared_guide / "iam-joining-guide.txt").read_text(encoding="utf-8")
    start, end = text.index("Relying on the node"), text.index("For IRSA to work")
    one = only(compare(text[:start] + text[end:], "17"))
    assert (one.kind, one.what, one.claims) == ("gone", "warning", ("s1.node-identity-risk",))


def test_a_changed_number_is_seen_in_the_whole_text(shared_guide: Path) -> None:
    text = (shared_guide / "iam-joining-guide.txt").read_text(encoding="utf-8")
    one = only(compare(text.replace("Helm >= 3.4.2", "Helm >= 3.8.0"), "17"))
    assert (one.kind, one.now, one.claims) == ("changed", "Helm >= 3.8.0", ("pre.helm-version",))


def test_a_moved_section_is_one_difference_in_the_whole_text(shared_guide: Path) -> None:
    text = (shared_guide / "iam-joining-guide.txt").read_text(encoding="utf-8")
    second, third, last = (text.index(h) for h in ("Step 2/3. C", "Step 3/3. D", "Not seeing Kube"))
    one = only(compare(text[:second] + text[third:last] + text[second:third] + text[last:], "17"))
    assert (one.kind, one.printed) == ("moved", "Step 2/3. Create the AWS joining token")
    assert {"s2.token", "s2.proof", "s2.create"} <= set(one.claims)


def test_13_and_17_differ_in_three_blocks_and_two_new_ones() -> None:
    found = compare(STORED["17"], "13")
    assert [(d.kind, d.what, d.claims[0]) for d in found.drifts] == [
        ("changed", "command", "s2.token"),
        ("changed", "command", "s3.install"),
        ("changed", "file", "ts.role-created"),
        ("new", "code", "s3.install"),
        ("new", "code", "s3.install"),
    ]
    assert "not at hand" in found.notes[0]


def test_17_and_18_differ_in_the_tokens_roles() -> None:
    one = only(compare(STORED["18"], "17", commands_only=True))
    assert (one.kind, one.claims[0]) == ("changed", "s2.token")
    assert "s2.minimal-roles" in one.claims
    assert "roles: [Kube,App,Discovery]" in one.now


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: textwrap.indent(text, "   "), id="indented as a whole"),
        pytest.param(lambda text: text.replace('<Var name="', "").replace('"/>', ""), id="no components"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="line ends"),
        pytest.param(
            lambda text: text.replace("(=teleport.version=)", "17.7.2").replace("17.0.0-dev", "17.7.2"),
            id="released version",
        ),
        pytest.param(lambda text: text.replace(" \\\n    --", " --"), id="one line for a continued command"),
        pytest.param(lambda text: text.replace("$ ", ""), id="no prompts"),
    ],
)
def test_what_means_nothing_is_no_drift(change: Callable[[str], str]) -> None:
    assert change(STORED["17"]) != STORED["17"]
    assert compare(change(STORED["17"]), "17", commands_only=True).drifts == ()


@pytest.mark.parametrize(
    ("before", "after", "kind", "claim"),
    [
        ("--policy-name", "--name", "changed", "s1.policy"),
        ("```code\n$ helm repo update\n```\n", "", "gone", "s3.repo"),
        ("$ helm repo update", "# helm repo update", "changed", "s3.repo"),
        ("$ helm repo update", "$ helm repo update\n$ helm lint", "new", "s3.repo"),
        ("$ tctl status\n", "", "gone", "pre.login"),
        ('    aws_arn: "arn', '  aws_arn: "arn', "changed", "s2.token"),
        ("  - aws_account", "  # - aws_account", "changed", "s2.token"),
        ("0          32s", "3          32s", "changed", "s3.pod-ready"),
        (r"kube\,app", "kube,app", "changed", "s3.install"),
        ("verbs: ['*']", "verbs: [get]", "changed", "ts.role-created"),
        ("# Logged into", "# Signed into", "changed", "s3.tsh-login"),
        ("# kubeconfig now points", "# kubeconfig points", "changed", "s3.tsh-login"),
    ],
)
def test_one_change_is_one_drift(before: str, after: str, kind: str, claim: str) -> None:
    text = STORED["17"]
    assert text.count(before) == 1
    one = only(compare(text.replace(before, after), "17", commands_only=True))
    assert one.kind == kind
    assert claim in one.claims


@pytest.mark.parametrize("number", range(0, 51, 3))
@pytest.mark.parametrize("does", ["goes", "changes"])
def test_any_piece_that_goes_or_changes_is_the_one_drift(number: int, does: str) -> None:
    reading = read(STORED["17"])
    blocks = [piece for piece in pieces("17") if piece.passage is None and not piece.is_inline]
    span = located(blocks, reading).exact[number]
    first, last = reading.places[span[0]], reading.places[span[1] - 1]
    after = {"goes": "", "changes": f"Q{STORED['17'][first + 1 : last + 1]}"}[does]
    found = compare(f"{STORED['17'][:first]}{after}{STORED['17'][last + 1 :]}", "17", commands_only=True)
    one = only(found)
    assert (one.kind, one.what) == ("gone" if does == "goes" else "changed", blocks[number].kind)
    assert one.claims == blocks[number].claims


def test_an_inline_command_may_go() -> None:
    text = STORED["17"].replace("Run `tctl create token.yaml` to create the token.", "")
    one = only(compare(text, "17", commands_only=True))
    assert (one.kind, one.claims) == ("gone", ("s2.create",))


@pytest.mark.parametrize("text", [PLAIN, MDX], ids=["plain", "mdx"])
def test_renderings_of_the_invented_guide_do_not_drift(text: str, bees: Callable[..., Comparison]) -> None:
    found = bees(text)
    assert found.drifts == ()
    assert found.compared == len(INVENTED)
    assert any("plain text" in note for note in found.notes) == (text is PLAIN)


@pytest.mark.parametrize("rendering", ["plain", "mdx"])
@pytest.mark.parametrize(
    ("before", "after", "kind", "now"),
    [
        ("Never open a box in", "Open a box in", "changed", "Open a box in the rain,"),
        ("left to right", "right to left", "changed", "Then look"),
        ("3.4.2", "3.8.0", "changed", "Boxes >="),
        ("--row=", "--line=", "changed", "bees count --line="),
        ("12 boxes", "13 boxes", "changed", "13 boxes"),
        ("open: false", "open: true", "changed", "cat >care.yaml"),
        ("Do all of it", "Wash your hands. Do all of it", "new", "Wash your hands."),
        (PROSE["end"], "", "gone", ""),
    ],
)
def test_prose_and_commands_drift(
    rendering: str, before: str, after: str, kind: str, now: str, *, bees: Callable[..., Comparison]
) -> None:
    text = {"plain": PLAIN, "mdx": MDX}[rendering]
    assert before in text
    one = only(bees(text.replace(before, after)))
    assert one.kind == kind
    assert one.now.startswith(now)
    assert (one.line is None) == (kind == "gone")


def test_the_claims_of_what_is_new_are_those_around_it(bees: Callable[..., Comparison]) -> None:
    one = only(bees(PLAIN.replace(PROSE["number"], f"Wear a hat and gloves.\n{PROSE['number']}")))
    assert (one.kind, one.what) == ("new", "prose")
    assert one.claims == ("s1.node-identity-risk", "pre.helm-version")


def test_commands_alone_say_nothing_of_prose(bees: Callable[..., Comparison]) -> None:
    text = MDX.replace(PROSE["end"], "Something else entirely.")
    assert bees(text, commands_only=True).drifts == ()
    assert {d.kind for d in bees(text).drifts} == {"gone", "new"}


def test_a_text_without_the_prose_is_told_so(bees: Callable[..., Comparison]) -> None:
    fences = "\n".join(MDX.split("```")[1::2])
    found = bees(f"```{fences}\n```\n")
    assert any("--commands-only" in note for note in found.notes)


def test_what_a_page_adds_is_nothing_new(bees: Callable[..., Comparison]) -> None:
    assert bees(f" date 2025-07-30\n{PLAIN}\ntip").drifts == ()


def test_what_could_not_be_seen_is_noted(bees: Callable[..., Comparison]) -> None:
    found = bees(MDX.replace("3.4.2", "(=helm.version=)") + "\n(!docs/other.mdx!)\n")
    assert found.drifts == ()
    assert any("helm.version" in note for note in found.notes)
    assert any("docs/other.mdx" in note for note in found.notes)


@pytest.mark.parametrize("text", ["", "Nothing of it.", "# Linux\n\nLinux is a kernel.\n"])
def test_another_text_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="next to nothing"):
        compare(text, "17")


def test_an_unknown_edition_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        compare(STORED["17"], "16")
