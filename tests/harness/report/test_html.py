"""`report.html` shows the whole report, marks what is simulated, and lets no text break out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.errors import EnvironmentBroken
from harness.core.findings import Finding
from harness.core.verdicts import Verdict
from harness.guide.claims import CLAIMS
from harness.report.html import SHOWN_CHARACTERS, write_html
from harness.report.model import (
    ClaimEntry,
    ComponentEntry,
    EnvironmentEntry,
    Evidence,
    Guide,
    Reason,
    StepResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from harness.report.build import RunFacts
    from harness.report.model import Report, Result

HOSTILE = "</pre></details></title></style><script>alert(1)</script><img src=x onerror='a()'>\" onclick=\"b()"
_VOID = {"meta", "br"}


@dataclass
class Element:
    """An element of the page, with all text below it."""

    tag: str
    attributes: dict[str, str | None]
    path: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """What a browser would make of the page; tags that do not match raise."""

    source: str
    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), tuple(each.tag for each in self.open))
        self.elements.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [each for each in self.elements if each.tag == tag]

    def of_class(self, css_class: str) -> list[Element]:
        return [each for each in self.elements if css_class in (each.attributes.get("class") or "").split()]

    def with_id(self, element_id: str) -> Element:
        [found] = [each for each in self.elements if each.attributes.get("id") == element_id]
        return found

    def body(self) -> str:
        [body] = self.all("body")
        return " ".join(body.text.split())


@pytest.fixture
def render(tmp_path: Path) -> Callable[[Report], Page]:
    def make(report: Report) -> Page:
        write_html(report, tmp_path / "report.html", folder=tmp_path)
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return make


@pytest.fixture
def with_evidence(
    tmp_path: Path, make_result: Callable[..., Result], build: Callable[..., Report]
) -> Callable[..., Report]:
    """Gives a report of one scenario with these evidence files: name to content."""

    def make(files: Mapping[str, str]) -> Report:
        folder = tmp_path / "evidence" / "s1.policy"
        folder.mkdir(parents=True)
        records: list[Mapping[str, Any]] = []
        for number, (name, content) in enumerate(files.items(), 1):
            (folder / name).write_text(content, encoding="utf-8")
            kind = "command" if "command" in name else "oracle"
            records.append(
                {"number": number, "kind": kind, "title": f"title {number}", "file": name, "seconds": 1.25}
            )
        evidence = Evidence("evidence/s1.policy", records)
        return build(replace(make_result("s1.policy"), evidence=evidence), planned=["s1.policy"])

    return make


def evidence_texts(page: Page) -> list[str]:
    return [each.text for each in page.all("pre") if each.path.count("details") == 3]


def test_everything_of_the_report_is_there_in_order(
    build: Callable[..., Report], make_result: Callable[..., Result], render: Callable[[Report], Page]
) -> None:
    finding = Finding("guide", "s3.tsh-ls", "s1.policy", "a column is missing")
    again = replace(finding, scenario="s3.install")
    page = render(
        build(
            replace(make_result("s1.policy"), findings=[finding]),
            replace(make_result("s3.install", Verdict.FAILED), findings=[again]),
        )
    )
    places = [
        '<h1>1 passed, 1 failed, 1 not-run <span class="soft">of 3 planned',
        "Tested: real Teleport 17.2.1, chart 17.2.1, Kubernetes 1.33.4; simulated AWS by moto 5.2.",
        'id="components"',
        'id="conformance"',
        'id="claims"',
        *(f'id="claim-{claim}"' for claim in CLAIMS),
        'id="scenarios"',
        *(f'id="scenario-{scenario}"' for scenario in ("s1.policy", "s3.install", "s2.refused")),
        'id="findings"',
        "the run&#39;s CA",
        "./conformance run --teleport &#39;a folder&#39;",
    ]
    found = [page.source.index(each) for each in places]
    assert found == sorted(found)
    assert page.source.count("a column is missing") == 1
    assert "s3.tsh-ls; s1.policy, s3.install" in page.body()


def test_sections_are_the_guides(build: Callable[..., Report], render: Callable[[Report], Page]) -> None:
    titles = [each.text for each in render(build()).all("h3")]
    sections = list(dict.fromkeys(claim.section for claim in CLAIMS.values()))
    assert len(titles) == len(sections)
    assert all(title.startswith(section) for title, section in zip(titles, sections, strict=True))


def test_a_claim_has_its_sentence_verdict_and_scenarios(
    build: Callable[..., Report], make_result: Callable[..., Result], render: Callable[[Report], Page]
) -> None:
    page = render(build(make_result("s3.install", Verdict.FAILED), planned=["s3.install"]))
    told = page.with_id("claim-how.no-secret").text.split()
    assert told[0] == "failed"
    assert " ".join(told[1:]) == f"{CLAIMS['how.no-secret'].text} how.no-secret: s3.install"
    assert "not-run" in page.with_id("claim-pre.ping").text
    assert "no planned scenario" in page.with_id("claim-pre.ping").text
    assert "Looks wrong in the guide: " in page.with_id("claim-pre.kubernetes-version").text
    targets = {each.attributes.get("id") for each in page.elements}
    links = [each.attributes["href"] or "" for each in page.all("a")]
    assert {link[1:] for link in links} <= targets


def test_a_claim_that_the_guide_has_not_is_shown_all_the_same(
    build: Callable[..., Report], render: Callable[[Report], Page]
) -> None:
    report = build()
    unknown = ClaimEntry("s9.unknown", "passed", ["elsewhere"])
    page = render(replace(report, claims=[unknown, *report.claims]))
    assert page.all("h3")[-1].text == "Not in the guide 1 passed"
    assert "No claim of the guide has this id" in page.with_id("claim-s9.unknown").text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_each_verdict_with_its_reason_and_steps(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    render: Callable[[Report], Page],
    verdict: Verdict,
) -> None:
    shown = render(build(make_result("s2.refused", verdict), planned=["s2.refused"])).with_id(
        "scenario-s2.refused"
    )
    passed = verdict is Verdict.PASSED
    assert ("open" in shown.attributes) is not passed
    assert shown.text.split()[0] == verdict.value
    assert ("some-code" in shown.text) is not passed
    assert (f"why s2.refused was {verdict}" in shown.text) is not passed
    assert "Given a token" in shown.text
    assert "features/1.feature:7; claims s2.arn-restricts; failure modes wrong-role" in " ".join(
        shown.text.split()
    )
    assert "No evidence was recorded." in shown.text


def test_nothing_is_marked_where_the_product_is_real(
    build: Callable[..., Report], make_result: Callable[..., Result], render: Callable[[Report], Page]
) -> None:
    page = render(build(make_result("s1.policy")))
    assert page.of_class("strip") == page.of_class("banner") == page.of_class("simulated-run") == []
    assert [row.text.split()[:2] for row in page.all("tr")[1:]] == [
        ["teleport", "real"],
        ["chart", "real"],
        ["kubernetes", "real"],
        ["kubelet", "real"],
        ["aws", "SIMULATED"],
    ]
    assert page.all("title")[0].text == "IAM joining conformance, 1 passed, 2 not-run"


@pytest.mark.parametrize("names", [("kubelet",), ("teleport", "chart")], ids=",".join)
def test_every_simulated_component_is_marked(  # noqa: PLR0917  # fixtures
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
    render: Callable[[Report], Page],
    names: tuple[str, ...],
) -> None:
    page = render(build(make_result("s1.policy"), facts=simulate(facts, *names)))
    listed = ", ".join((*names, "aws"))
    assert f"SIMULATED: {listed}. No verdict of conformance." in page.of_class("strip")[0].text
    assert f"Simulated: {listed}." in page.of_class("banner")[0].text
    assert page.all("title")[0].text.startswith("Simulated run: ")
    assert page.all("body")[0].attributes["class"] == "simulated-run"
    marked = [row.text.split()[0] for row in page.all("tr") if "SIMULATED" in row.text]
    assert set(marked) == {*names, "aws"}
    nothing = {"teleport", "chart"} <= set(names)
    assert page.of_class("strip")[0].text.startswith("NOTHING OF THE PRODUCT WAS TESTED. ") is nothing
    assert ("No program of the product ran." in page.body()) is nothing


def test_a_fault_is_the_first_thing_on_the_page(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    render: Callable[[Report], Page],
) -> None:
    environment = replace(
        facts.environment, additions=["the run's CA", "fault any-arn-counts: <b>teleport</b> misbehaves"]
    )
    page = render(build(make_result("s1.policy"), facts=replace(facts, environment=environment)))
    strip, banner = page.of_class("fault")
    assert strip.text == "A FAULT WAS CHOSEN: something misbehaves on purpose."
    assert banner.text.strip().startswith("fault any-arn-counts: <b>teleport</b> misbehaves")
    assert page.body().startswith(strip.text)
    assert page.all("title")[0].text.startswith("FAULT: ")
    # A real product in the same run is not marked as simulated because of it.
    assert "simulated-run" not in (page.all("body")[0].attributes.get("class") or "")


def test_texts_of_a_simulated_teleport_have_their_provenance(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
    render: Callable[[Report], Page],
) -> None:
    page = render(build(make_result("s1.policy"), facts=simulate(facts, "teleport")))
    assert "Texts of the simulated Teleport: 2 measured, 1 read, 1 inferred" in page.body()
    rows = [" ".join(row.text.split()) for row in page.all("tr")]
    assert rows[-4:] == [
        "no-rule-matched measured instance did not match any <allow> rules",
        'sts-host read unknown STS host "{host}"',
        "agent-gone inferred offline",
        "not-joined measured not yet",
    ]
    assert [each.attributes.get("id") for each in render(build()).elements].count("texts") == 0


def test_conformance_is_said_in_words(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
    render: Callable[[Report], Page],
) -> None:
    three = [make_result(scenario) for scenario in ("s1.policy", "s3.install", "s2.refused")]
    assert "guide conforms (3 passed)" in render(build(*three)).body()
    failed = render(build(*three[:2], make_result("s2.refused", Verdict.FAILED))).body()
    assert "guide does not conform (2 passed, 1 failed)" in failed
    assert "upgrade cannot be said (the suite has no scenario of this profile)" in failed
    part = render(build(three[0], planned=["s1.policy"])).body()
    assert "guide cannot be said (2 of its 3 scenarios were not selected; 1 passed)" in part
    unreal = render(build(*three, facts=simulate(facts, "kubelet", "chart"))).body()
    assert "guide cannot be said (not real: chart, kubelet; 3 passed)" in unreal


def test_an_environment_that_never_came_up(
    build: Callable[..., Report], facts: RunFacts, render: Callable[[Report], Page]
) -> None:
    page = render(build(facts=replace(facts, environment=EnvironmentEntry("lab"))))
    assert "The environment “lab” never came up." in page.body()
    assert "Nothing of the product was tested" in page.body()
    assert "No scenario was planned." in render(build(planned=[])).body()


def test_evidence_is_shown_folded_and_readable(
    with_evidence: Callable[..., Report], render: Callable[[Report], Page]
) -> None:
    command = {
        "kind": "command",
        "argv": ["tctl", "get", "a b"],
        "cwd": "home",
        "exit_code": 1,
        "stdout": "one\ntwo\n",
        "stderr": "ERROR: <no>\n",
    }
    oracle = {"kind": "oracle", "at": "noon", "oracle": "kubernetes", "query": "pods", "value": {"a": [1]}}
    page = render(
        with_evidence(
            {
                "001-command-x.json": json.dumps(command),
                "002-oracle-y.json": json.dumps(oracle),
                "003-oracle-z.json": json.dumps({**oracle, "query": None, "value": "line\nline"}),
                "004-command-odd.json": '{"kind": "command"}',
                "005-oracle-list.json": "[1, 2]",
                "006-oracle-torn.json": '{"kind": "or',
            }
        )
    )
    assert evidence_texts(page) == [
        "\n$ tctl get 'a b'\n# exit code 1, in home\n# stdout\none\ntwo\n# stderr\nERROR: <no>",
        '\n# kubernetes, at noon\n? pods\n{\n  "a": [\n    1\n  ]\n}',
        "\n# kubernetes, at noon\n? null\nline\nline",
        '\n{"kind": "command"}',
        "\n[1, 2]",
        '\n{"kind": "or',
    ]
    folded = [each for each in page.all("details") if each.path.count("details")]
    assert len(folded) == 7
    assert not any("open" in each.attributes for each in folded)
    summaries = [
        " ".join(each.text.split()) for each in page.all("summary") if each.path.count("details") == 3
    ]
    assert summaries[:2] == ["title 1 1.2 s", "title 2"]
    links = [each.attributes["href"] or "" for each in page.all("a")]
    assert "./evidence/s1.policy/001-command-x.json" in links


def test_long_evidence_is_cut_and_the_whole_is_named(
    with_evidence: Callable[..., Report], render: Callable[[Report], Page]
) -> None:
    page = render(
        with_evidence({"long.json": "x" * SHOWN_CHARACTERS + "the end", "whole.json": "x" * SHOWN_CHARACTERS})
    )
    assert evidence_texts(page) == ["\n" + "x" * SHOWN_CHARACTERS] * 2
    notes = [each.text for each in page.all("p") if each.path.count("details") == 3]
    assert notes == [
        "Cut here; the whole is in ./evidence/s1.policy/long.json",
        "./evidence/s1.policy/whole.json",
    ]


def test_evidence_that_cannot_be_shown_is_told(
    tmp_path: Path, with_evidence: Callable[..., Report], render: Callable[[Report], Page]
) -> None:
    report = with_evidence({"gone.json": "", "outside.json": "", "bytes.json": ""})
    folder = tmp_path / "evidence" / "s1.policy"
    (folder / "gone.json").unlink()
    (tmp_path.parent / "secret.txt").write_text("of somebody else")
    (folder / "outside.json").unlink()
    (folder / "outside.json").symlink_to(tmp_path.parent / "secret.txt")
    (folder / "bytes.json").write_bytes(b"\xff ok")
    (folder / "traceback-call.txt").write_text("Traceback: KeyError")
    assert evidence_texts(render(report)) == [
        "\nnot shown: the file cannot be read (No such file or directory)",
        "\nnot shown: the file is outside the report's folder",
        "\n\ufffd ok",
        "\nTraceback: KeyError",
    ]


def test_no_text_breaks_out(with_evidence: Callable[..., Report], render: Callable[[Report], Page]) -> None:
    oracle = {"kind": "oracle", "at": HOSTILE, "oracle": HOSTILE, "query": HOSTILE, "value": HOSTILE}
    clean = with_evidence({"a.json": json.dumps(oracle), "b.json": HOSTILE})
    [scenario] = clean.scenarios
    assert scenario.evidence
    evidence = replace(
        scenario.evidence, records=[{**each, "title": HOSTILE} for each in scenario.evidence.records]
    )
    hostile = replace(
        clean,
        scenarios=[
            replace(
                scenario,
                id=HOSTILE,
                feature=HOSTILE,
                name=HOSTILE,
                verdict=HOSTILE,
                claims=[HOSTILE],
                failures=[HOSTILE],
                reason=Reason(HOSTILE, HOSTILE),
                steps=[StepResult(HOSTILE, HOSTILE, 1, HOSTILE)],
                evidence=evidence,
            )
        ],
        claims=[ClaimEntry(HOSTILE, HOSTILE, [HOSTILE])],
        findings=[Finding("product", HOSTILE, HOSTILE, HOSTILE)],
        guide=Guide(HOSTILE, overridden=True),
        environment=EnvironmentEntry(
            HOSTILE, {HOSTILE: ComponentEntry(HOSTILE, HOSTILE, simulated=True, detail=HOSTILE)}, [HOSTILE]
        ),
        suite=replace(clean.suite, version=HOSTILE, commit=HOSTILE),
        conformant={HOSTILE: None},
        reproduce=HOSTILE,
    )
    page = render(hostile)
    assert not page.all("script")
    assert not page.all("img")
    allowed = {"charset", "class", "content", "href", "http-equiv", "id", "lang", "name", "open", "scope"}
    assert {name for each in page.elements for name in each.attributes} <= allowed
    assert [text.count(HOSTILE) for text in evidence_texts(page)] == [4, 1]


def test_the_page_loads_and_runs_nothing(
    with_evidence: Callable[..., Report], render: Callable[[Report], Page]
) -> None:
    page = render(with_evidence({"a.json": "x"}))
    policies = [m.attributes["content"] for m in page.all("meta") if "http-equiv" in m.attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not {each.tag for each in page.elements} & {"script", "link", "img", "iframe", "object", "embed"}
    assert "url(" not in page.source
    assert "@import" not in page.source
    links = [each.attributes["href"] or "" for each in page.all("a")]
    assert all(link.startswith(("#", "./")) for link in links)


def test_what_cannot_be_seen_is_made_visible(
    build: Callable[..., Report], make_result: Callable[..., Result], render: Callable[[Report], Page]
) -> None:
    ugly = Reason("c", "\x1b[31mred \u202edessap\u202c \x00 half \ud800 ä\tend")
    report = build(make_result("s1.policy", Verdict.FAILED), planned=["s1.policy"])
    assert "\ufffd" not in render(report).source
    page = render(replace(report, scenarios=[replace(report.scenarios[0], reason=ugly)]))
    assert "\ufffd[31mred \ufffddessap\ufffd \ufffd half ? ä\tend" in page.source


def test_a_page_that_cannot_be_written_is_told(build: Callable[..., Report], tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken):
        write_html(build(), tmp_path / "no" / "report.html", folder=tmp_path)
