"""Trying the faults: what is chosen, how it is judged, and what makes the command fail."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.catalogue import read_catalogue
from harness.core.errors import EnvironmentBroken, UsageError
from harness.core.settings import load
from harness.faults import command, labs, plan, prove, shown, touched
from harness.faults.catalogue import CATALOGUE as CATALOGUE_FILE
from harness.faults.catalogue import FAULTS, Fault
from harness.faults.matrix import Matrix, Outcome, row
from harness.faults.misconfigurations import MISCONFIGURATIONS
from harness.faults.page import page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ARN = Fault("any-arn", "teleport", "arn_matches", ("s2.arn",), ("two",), "The ARN does not matter.")
ODD = Fault("odd", "aws", "host_served", (), (), "Odd.", unowned="later")
CHART = Fault("chart", "chart", "account", ("s3.sa",), ("three",), "Another account.")
ONE, TWO, THREE = (
    plan.Subject("one", ("s1.a",)),
    plan.Subject("two", ("s2.arn", "s2.more")),
    plan.Subject("three", ("s3.sa",)),
)
PASSED, FAILED = labs.Judged("passed"), labs.Judged("failed", "it holds", "then", "expected: x seen: y")
TAKEN = frozenset({"teleport.arn_matches"})


def lab(taken: frozenset[str] = TAKEN, **scenarios: labs.Judged) -> labs.Lab:
    return labs.Lab(scenarios, taken)


def report(folder: Path, *scenarios: dict[str, Any], taken: Sequence[str] = ()) -> labs.Lab:
    (folder / "environment").mkdir()
    (folder / "environment" / "decisions.json").write_text(json.dumps(taken))
    (folder / "report.json").write_text(json.dumps({"scenarios": scenarios}))
    return labs.read(folder, "report.json", "environment")


def step(keyword: str, text: str, verdict: str) -> dict[str, str]:
    return {"keyword": keyword, "text": text, "verdict": verdict}


class TestLabs:
    """Reading what a run showed."""

    def test_the_step_that_ended_a_scenario_is_told_with_its_kind(self, tmp_path: Path) -> None:
        steps = [
            step("Given", "a", "passed"),
            step("And", "b", "passed"),
            step("Then", "c", "passed"),
            step("And", "d", "failed"),
            step("And", "e", "not-run"),
        ]
        reason = {"code": "not-as-claimed", "text": "expected: x\nseen: y"}
        scenario = {"id": "one", "verdict": "failed", "reason": reason, "seconds": 1.0, "steps": steps}
        other: dict[str, Any] = {
            "id": "two",
            "verdict": "not-run",
            "reason": None,
            "seconds": 0.0,
            "steps": [],
        }
        seen = report(tmp_path, scenario, other, taken=["teleport.arn_matches"])
        assert seen.of("one") == labs.Judged("failed", "d", "then", "expected: x seen: y", 1.0)
        assert seen.taken == TAKEN
        # What was planned and not run shows nothing.
        assert seen.of("two").verdict == "error"

    @pytest.mark.parametrize(
        ("code", "verdict", "shown"),
        [
            (0, "passed", "passed"),
            (1, "failed", "failed"),
            (2, "error", "error"),
            (5, "not-applicable", "not-applicable"),
            # The report says that all is well, the run that it is not.
            (2, "passed", "error"),
            (3, "failed", "error"),
            (-9, "passed", "error"),
            (-9, "withheld", "error"),
        ],
    )
    def test_an_exit_code_that_the_report_does_not_explain_shows_nothing(
        self, code: int, verdict: str, shown: str
    ) -> None:
        assert labs.ended(lab(one=labs.Judged(verdict)), code).of("one").verdict == shown

    def test_a_lab_without_a_report_shows_an_error(self, tmp_path: Path) -> None:
        seen = labs.read(tmp_path, "report.json", "environment")
        assert seen.of("one").verdict == "error"
        assert "no report" in seen.of("one").reason

    @pytest.mark.parametrize(
        ("component", "decision", "taken", "rests"),
        [
            ("teleport", "arn_matches", {"teleport.arn_matches"}, True),
            ("aws", "arn_matches", {"teleport.arn_matches"}, False),
            ("chart", "account", {"apiserver.statefulset_goes_on"}, True),
            ("chart", "account", {"kubelet.state_after_probe"}, True),
            ("chart", "account", {"apiserver.kept"}, False),
        ],
    )
    def test_what_scenarios_rest_on(
        self, component: str, decision: str, taken: set[str], rests: bool
    ) -> None:
        assert labs.Lab({}, frozenset(taken)).rests_on(component, decision) is rests


class TestPlan:
    """Choosing scenarios for faults."""

    def test_a_fault_is_tried_on_all_that_rest_on_its_decision_and_a_tenth_of_the_others(self) -> None:
        clean = {f"s{number}": lab(TAKEN if number < 5 else frozenset()) for number in range(45)}
        (trial,) = plan.by_decisions([ARN], clean, seed=1)
        assert trial.aimed == ("s0", "s1", "s2", "s3", "s4")
        assert len(trial.bystanders) == 4
        assert not set(trial.bystanders) & set(trial.aimed)

    def test_a_client_is_tried_on_the_scenarios_of_the_catalogue(self) -> None:
        older = Fault("older", "clients", "helm", ("s1.a",), ("one", "away"), "Older.")
        (trial,) = plan.by_decisions([older], {"one": lab(), "two": lab()}, seed=1)
        assert (trial.aimed, trial.bystanders) == (("one",), ())
        assert row(trial, lab(frozenset(), one=FAILED, two=PASSED)).killed == ("one",)
        assert row(trial, lab(frozenset(), one=PASSED)).having(Outcome.SURVIVED) == ("one",)

    def test_the_choice_of_others_is_the_seeds(self) -> None:
        clean = {f"s{number}": lab(frozenset()) for number in range(200)}

        def chosen(seed: int) -> tuple[str, ...]:
            return plan.by_decisions([ARN], clean, seed)[0].bystanders

        assert chosen(1) == chosen(1) != chosen(2)
        first, second = plan.by_decisions([ARN, ODD], clean, 1)
        assert first.bystanders != second.bystanders

    def test_a_change_asks_for_its_scenarios_its_faults_and_a_sample(self) -> None:
        faults = [replace(ARN, name=f"f{number}", scenarios=("one", "two")) for number in range(10)]
        trials = plan.for_change(faults, [ONE, TWO], (frozenset({"f3"}), frozenset({"one"})), seed=1, size=2)
        tried = {(trial.fault.name, scenario) for trial in trials for scenario in trial.aimed}
        needed = {("f3", "one"), ("f3", "two")} | {(f"f{number}", "one") for number in range(10)}
        assert needed <= tried
        assert len(tried - needed) == 2

    def test_a_scenario_is_its_tags_its_name_and_its_steps(self) -> None:
        class Step:
            def __init__(self, line: int) -> None:
                self.line, self.text = line, f"step {line}"

        class Record:
            claims = ("c",)
            failures = ("f",)
            feature = "features/f.feature"

            def __init__(self, name: str, line: int, *steps: int) -> None:
                self.id, self.line, self.steps = name, line, [Step(number) for number in steps]

        # The Background's step on line 4 is everybody's.
        records = [Record("first", 8, 4, 9, 10), Record("second", 14, 4, 15)]
        first, second = plan.subjects(records, records)
        assert first.lines == {4, 8, 9, 10}
        assert second.lines == {4, 11, 12, 13, 14, 15}
        assert second.steps == {"step 4", "step 15"}
        assert second.claims == ("c", "failure:f")
        assert [one.id for one in plan.subjects(records, records[1:])] == ["second"]


class TestOutcomes:
    """Judging a scenario under a fault."""

    @pytest.mark.parametrize(
        ("verdict", "taken", "aimed", "outcome"),
        [
            ("failed", TAKEN, True, Outcome.KILLED),
            ("passed", TAKEN, True, Outcome.SURVIVED),
            ("passed", frozenset(), True, Outcome.NOT_REACHED),
            ("error", TAKEN, True, Outcome.BROKE),
            ("withheld", TAKEN, True, Outcome.BROKE),
            ("passed", TAKEN, False, Outcome.NOT_REACHED),
            ("failed", TAKEN, False, Outcome.DISTURBED),
            ("error", TAKEN, False, Outcome.DISTURBED),
        ],
    )
    def test_each(self, verdict: str, taken: frozenset[str], aimed: bool, outcome: Outcome) -> None:
        trial = plan.Trial(ARN, ("one",), ()) if aimed else plan.Trial(ARN, (), ("one",))
        (cell,) = row(trial, lab(taken, one=labs.Judged(verdict))).cells
        assert cell.outcome == outcome

    def test_what_fails_in_a_given_was_not_arranged_and_shows_nothing(self) -> None:
        made = row(plan.Trial(ARN, ("two",)), lab(two=labs.Judged("failed", "a user", "given")))
        assert made.having(Outcome.BROKE) == ("two",)
        assert matrix(made).missed() == [("any-arn", "two")]
        assert ("two", "s2.arn") in matrix(made).unproven()

    @pytest.mark.parametrize(
        ("step", "kind", "at", "proven"),
        [
            ("it holds", "then", (), True),
            ("no command failed", "then", (), False),
            ("no command failed", "then", (("no command failed", "its exit status is the answer"),), True),
            ("no command failed", "then", (("the pods are listed", "why"),), False),
            ("the user lists pods", "when", (), False),
            ("the user lists pods", "when", (("the user lists pods", "it awaits the claim"),), True),
            ("", "", (), False),
        ],
    )
    def test_what_is_noticed_elsewhere_than_in_a_then_proves_by_a_reason_alone(
        self, step: str, kind: str, at: tuple[tuple[str, str], ...], proven: bool
    ) -> None:
        fault = replace(ARN, at=at)
        made = row(plan.Trial(fault, ("two",)), lab(two=labs.Judged("failed", step, kind)))
        assert made.killed == ("two",)
        assert made.proven == (("two",) if proven else ())
        assert matrix(made).pairs()["two", "s2.arn"] == (("any-arn",) if proven else ())


def matrix(*rows: Any, subjects: Sequence[plan.Subject] = (TWO,), untried: Sequence[Fault] = ()) -> Matrix:
    return Matrix(subjects, {}, rows, untried)


KILLED = row(plan.Trial(ARN, ("two",)), lab(two=FAILED))
SURVIVED = row(plan.Trial(ARN, ("two",)), lab(two=PASSED))


class TestMatrix:
    """What is proven, and what is not."""

    def test_only_a_fault_that_violates_the_claim_proves_it(self) -> None:
        made = matrix(KILLED)
        assert made.pairs() == {("two", "s2.arn"): ("any-arn",), ("two", "s2.more"): ()}
        assert made.unproven() == [("two", "s2.more")]
        assert made.problems() == ["unproven: no fault that violates s2.more was noticed by two"]

    def test_a_fault_that_its_scenario_does_not_notice_is_told(self) -> None:
        made = matrix(SURVIVED)
        assert made.missed() == [("any-arn", "two")]
        assert made.victimless() == ["any-arn"]

    @pytest.mark.parametrize("outcome", ["error", "withheld", "not-applicable"])
    def test_what_broke_proves_nothing(self, outcome: str) -> None:
        made = matrix(row(plan.Trial(ARN, ("two",)), lab(two=labs.Judged(outcome))))
        assert ("two", "s2.arn") in made.unproven()

    def test_a_fault_without_a_victim_needs_a_reason(self) -> None:
        alone = replace(ARN, scenarios=())
        assert matrix(untried=[alone]).victimless() == ["any-arn"]
        assert matrix(untried=[replace(alone, unowned="later")]).victimless() == []
        survived = row(plan.Trial(alone, ("two",)), lab(two=PASSED))
        assert matrix(survived).victimless() == ["any-arn"]

    def test_of_a_fault_whose_scenarios_were_not_chosen_nothing_is_said(self) -> None:
        survived = row(plan.Trial(ARN, ("one",)), lab(one=PASSED))
        assert matrix(survived, subjects=[ONE]).victimless() == []

    def test_what_no_fault_can_prove_is_not_unproven(self) -> None:
        otherwise = {("two", "s2.more"): "no program takes part"}
        made = replace(matrix(KILLED), otherwise=otherwise)
        assert made.problems() == []
        assert "no program takes part" in page(made)
        noted = replace(matrix(KILLED), otherwise={("two", "s2.arn"): "why"}).notes()
        assert noted == ["s2.arn of two is said to be provable by no fault, and any-arn proved it"]

    def test_an_excluded_scenario_is_unproven_but_for_a_reason(self) -> None:
        quiet = Matrix([TWO], {"two": "not-applicable: why"}, [], [ARN])
        assert quiet.unproven() == [("two", "s2.arn"), ("two", "s2.more")]
        assert quiet.victimless() == ["any-arn"]
        explained = replace(quiet, otherwise={("two", "s2.arn"): "why", ("two", "s2.more"): "why"})
        assert explained.problems() == []
        other_claim = replace(quiet, otherwise={("two", "s2.more"): "why"})
        assert other_claim.victimless() == ["any-arn"]

    def test_an_excluded_scenario_was_chosen_also_where_its_claims_are_nobodys_affair(self) -> None:
        assert Matrix([], {"two": "not-applicable: why"}, [], [ARN]).victimless() == ["any-arn"]

    def test_nothing_to_prove_is_no_proof(self) -> None:
        empty = Matrix([], {}, [])
        assert empty.document()["proven"] is False
        assert empty.problems()[0].startswith("nothing was shown")
        assert matrix(KILLED, subjects=[]).problems() == []

    def test_who_was_disturbed_is_told(self) -> None:
        made = matrix(row(plan.Trial(ODD, (), ("two",)), lab(two=FAILED)))
        assert made.disturbed() == [("odd", "two")]
        assert any("rests on no decision of odd" in problem for problem in made.problems())

    def test_a_reason_that_is_no_longer_true_is_noted(self) -> None:
        noticed = row(plan.Trial(ODD, ("two",)), lab(frozenset({"aws.host_served"}), two=FAILED))
        assert matrix(noticed).document()["notes"] == ["odd is called unowned, and two noticed it"]

    def test_document_and_page_hold_it_all(self) -> None:
        made = matrix(KILLED, row(plan.Trial(ODD, ()), lab()))
        document = json.loads(json.dumps(made.document()))
        assert document["proven"] is False
        assert document["faults"][0]["runs"][0]["outcome"] == "killed"
        assert document["faults"][0]["runs"][0]["step"] == "it holds"
        html = page(made)
        assert "any-arn" in html
        assert "unproven" in html
        assert "it holds" in html


class Runs:
    """Labs in which any-arn makes two red and nothing else happens."""

    def __init__(self, **verdicts: str) -> None:
        self.verdicts = verdicts
        self.asked: list[tuple[tuple[str, ...], str | None]] = []
        self.ended = False

    def run(self, scenarios: Sequence[str], fault: str | None) -> labs.Lab:
        self.asked.append((tuple(scenarios), fault))
        taken = TAKEN if "two" in scenarios else frozenset({"aws.host_served"})
        judged = {
            one: FAILED
            if (one, fault) == ("two", "any-arn")
            else labs.Judged(self.verdicts.get(one, "passed"))
            for one in scenarios
        }
        return labs.Lab(judged, taken)

    def end(self) -> None:
        self.ended = True


class TestProving:
    """Running labs."""

    def test_each_scenario_is_run_alone_first(self) -> None:
        runs, told = Runs(three="not-applicable"), list[str]()
        clean, excluded = prove.clean_labs([ONE, TWO, THREE], runs, told.append, labs=2)
        assert list(clean) == ["one", "two"]
        assert list(excluded) == ["three"]
        assert sorted(runs.asked) == [(("one",), None), (("three",), None), (("two",), None)]

    @pytest.mark.parametrize("verdict", ["failed", "error", "known-deviation"])
    def test_nothing_is_tried_where_a_scenario_does_not_pass_without_a_fault(self, verdict: str) -> None:
        with pytest.raises(EnvironmentBroken, match=f"one {verdict}"):
            prove.clean_labs([ONE, TWO], Runs(one=verdict), lambda _: None, labs=1)

    def test_rows_come_in_the_order_of_the_trials(self) -> None:
        trials = [plan.Trial(ODD, ("one",)), plan.Trial(ARN, ("two",), ("one",))]
        told: list[str] = []
        rows = prove.try_faults(trials, Runs(), told.append, labs=2)
        assert [made.fault.name for made in rows] == ["odd", "any-arn"]
        assert rows[1].killed == ("two",)
        assert any("any-arn  1 killed, 1 not-reached" in line for line in told)

    def test_an_interruption_ends_what_runs(self) -> None:
        runs = Runs()

        def interrupted(_: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prove.try_faults([plan.Trial(ARN, ("two",))], runs, interrupted, labs=1)
        assert runs.ended

    def test_faults_of_real_components_are_left_out(self) -> None:
        odd, *real = prove.chosen([ARN, ODD], [], ["teleport"])
        assert odd == ODD
        # What can be wrong with real programs takes their place.
        assert {fault.component for fault in real} == {"real"}
        assert "real-kubeconfig-elsewhere" in {fault.name for fault in real}
        assert "real-never-ready" not in {fault.name for fault in real}
        assert prove.chosen([ARN, ODD], [], []) == [ARN, ODD]
        assert prove.chosen([ARN, ODD], ["any-arn"], []) == [ARN]
        with pytest.raises(UsageError, match="unknown fault 'any'"):
            prove.chosen([ARN], ["any"], [])


CATALOGUE = """# comment
aws:
  odd:
    decision: host_served
  other-one:
    decision: kept
teleport:
  any-arn:
    decision: arn_matches
"""


class TestTouched:
    """What a change touches."""

    def test_the_catalogues_entries_have_their_lines(self) -> None:
        found = touched.entries(CATALOGUE)
        assert (found["odd"], found["other-one"], found["any-arn"]) == (
            range(3, 5),
            range(5, 7),
            range(8, 10),
        )

    @pytest.mark.parametrize(
        ("lines", "text", "names"),
        [
            ({touched.CATALOGUE: {4}}, {}, {"odd"}),
            ({touched.CATALOGUE: {6}}, {}, set()),
            ({}, {"simulators/teleport/decisions.py": "def _arn_matches(pattern"}, set()),
            ({}, {"simulators/teleport/decisions.py": "    arn_matches: Callable"}, {"any-arn"}),
            ({}, {"simulators/teleport/faults.py": '"any-arn": _with('}, {"any-arn"}),
            ({}, {"simulators/teleport/faults.py": '"any-arn-later": _with('}, set()),
            ({}, {"simulators/aws/decisions.py": "arn_matches"}, set()),
            ({}, {"simulators/chart/faults/chart.tpl": "x"}, {"chart"}),
        ],
    )
    def test_faults(self, lines: dict[str, set[int]], text: dict[str, str], names: set[str]) -> None:
        change = touched.Change({file: frozenset(numbers) for file, numbers in lines.items()}, text)
        assert touched.faults(change, [ARN, ODD, CHART], CATALOGUE) == names

    def test_scenarios(self) -> None:
        subjects = [
            plan.Subject("one", (), "features/f.feature", frozenset({3, 4})),
            plan.Subject("two", (), "features/f.feature", frozenset({5, 6})),
            plan.Subject("three", (), "features/g.feature", frozenset({5})),
        ]
        change = touched.Change({"features/f.feature": frozenset({6, 7})}, {})
        assert touched.scenarios(change, subjects, {}) == {"two"}

    @pytest.mark.parametrize(
        ("file", "now", "gone", "ids"),
        [
            ("steps/a.py", '@then("it \\"holds\\"")\ndef holds(): ...', "    pass", {"one"}),
            ("steps/a.py", '@when(\n    "it is done", target_fixture="outcome"\n)', "    pass", {"two"}),
            ("steps/a.py", "@given('it is there')", "    pass", {"two"}),
            # A step that is gone, with its module or alone.
            ("steps/a.py", "", '@given("it is there")', {"two"}),
            ("steps/a.py", '@then("nobody says so")', "    pass", set()),
            # What other modules of steps use.
            ("steps/shared.py", "def shared(): ...", "    pass", {"one", "two"}),
            ("steps/README.md", "text", "text", set()),
            ("harness/adapters/agent.py", "", "    pass", {"one", "two"}),
            ("harness/scenario.py", "", "    pass", {"one", "two"}),
            ("harness/premises.py", "", "    pass", {"one", "two"}),
            ("harness/registration.py", "", "    pass", {"one", "two"}),
            ("harness/core/waiting.py", "", "    pass", {"one", "two"}),
            ("harness/report/html.py", "", "    pass", set()),
        ],
    )
    def test_what_scenarios_are_made_of(self, file: str, now: str, gone: str, ids: set[str]) -> None:
        subjects = [
            plan.Subject("one", (), "features/f.feature", frozenset({3}), frozenset({'it "holds"'})),
            plan.Subject(
                "two", (), "features/f.feature", frozenset({5}), frozenset({"it is done", "it is there"})
            ),
        ]
        change = touched.Change({file: frozenset({1})}, {file: gone})
        assert touched.scenarios(change, subjects, {file: now}) == ids

    def test_every_step_of_the_features_is_of_a_module(self) -> None:
        root = CATALOGUE_FILE.parents[2]
        records = read_catalogue(root / "features")
        modules = {f"steps/{file.name}": file.read_text() for file in (root / "steps").glob("[a-z]*.py")}
        subjects = [
            plan.Subject(step, (), steps=frozenset({step}))
            for step in {step.text for record in records for step in record.steps}
        ]
        change = touched.Change({}, dict.fromkeys(modules, "    pass"))
        assert touched.scenarios(change, subjects, modules) == {subject.id for subject in subjects}
        for name, text in modules.items():
            some = touched.scenarios(touched.Change({}, {name: "    pass"}), subjects, {name: text})
            assert 0 < len(some) < len(subjects), name

    def test_what_nothing_is_tried_for_is_told(self) -> None:
        subjects = [plan.Subject("one", (), "features/f.feature", frozenset({3}))]
        files = {
            "features/f.feature": 3,
            "features/g.feature": 3,
            "harness/adapters/agent.py": 1,
            "harness/report/html.py": 1,
            "simulators/aws/faults.py": 1,
            "simulators/aws/server.py": 1,
            "steps/a.py": 1,
            touched.CATALOGUE: 4,
        }
        change = touched.Change(
            {file: frozenset({line}) for file, line in files.items()},
            {file: '"odd"' if file.endswith("faults.py") else "    pass" for file in files},
        )
        assert touched.uncovered(change, [ARN, ODD], CATALOGUE, subjects) == [
            "features/g.feature",
            "harness/report/html.py",
            "simulators/aws/server.py",
        ]


class Command:
    """The command over runs that write what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = Runs()
        self.told: list[str] = []
        self.arguments: list[list[str]] = []
        self._labs: dict[Path, labs.Lab] = {}

    def run(self, arguments: Sequence[str], folder: Path) -> int:
        words = list(arguments)
        self.arguments.append(words)
        scenarios = [words[place + 1] for place, word in enumerate(words) if word == "--scenario"]
        fault = words[words.index("--fault") + 1] if "--fault" in words else None
        self._labs[folder] = self.runs.run(scenarios, fault)
        return 0

    def __call__(self, wanted: command.Wanted, *subjects: plan.Subject, **settings: Any) -> int:
        ways = command.Ways(self.run, self.runs.end, self._labs.__getitem__, self.told.append)
        made = load({"report_dir": self.folder, **settings}, {})
        return command.faults(made, subjects, wanted, ways, {"commit": "abc"})

    @property
    def matrix(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "faults.json").read_text())
        return document


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(command, "FAULTS", (ARN, ODD))
    return Command(tmp_path)


class TestCommand:
    """The command from settings to exit code."""

    def test_a_proven_claim_is_0(self, tried: Command) -> None:
        assert tried(command.Wanted(labs=1), replace(TWO, claims=("s2.arn",))) == 0
        assert tried.matrix["proven"] is True
        assert tried.matrix["pairs"] == [
            {"scenario": "two", "claim": "s2.arn", "killed_by": ["any-arn"], "otherwise": ""}
        ]
        assert (tried.folder / "faults.html").is_file()

    def test_an_unproven_claim_is_1(self, tried: Command) -> None:
        assert tried(command.Wanted(labs=1), TWO) == 1
        assert "unproven: no fault that violates s2.more was noticed by two" in tried.told

    def test_a_fault_added_without_a_victim_is_1(
        self, tried: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        added = replace(ODD, name="added", unowned="")
        monkeypatch.setattr(command, "FAULTS", (ARN, ODD, added))
        assert tried(command.Wanted(labs=1), replace(TWO, claims=("s2.arn",))) == 1
        assert tried.matrix["problems"] == ["without a victim: added, and the catalogue has no reason why"]

    def test_environments_are_made_of_what_the_user_gave(self, tried: Command) -> None:
        tried(command.Wanted(labs=1), TWO, chart="chart-folder", keyword="two", workers="9", name="mine")
        for words in tried.arguments:
            assert words[words.index("--chart") + 1].endswith("/chart-folder")
            assert not {"-k", "--name", "--report-dir"} & set(words)
        clean, *faulty = tried.arguments
        assert clean[clean.index("--workers") + 1] == "1"
        assert faulty

    def test_named_scenarios_are_enough_to_prove(self, tried: Command) -> None:
        subject = replace(TWO, claims=("s2.arn",))
        assert tried(command.Wanted(labs=1, named=True), ONE, subject) == 1
        assert tried.matrix["problems"] == ["unproven: no fault that violates s1.a was noticed by one"]
        assert tried.runs.asked == [(("one", "two"), None), (("two",), "any-arn")]

    def test_a_change_is_proven_on_what_passes_without_a_fault(self, tried: Command) -> None:
        change = touched.Change(
            {"features/f.feature": frozenset({3})}, {"simulators/teleport/faults.py": '"any-arn": 1'}
        )
        subject = replace(TWO, claims=("s2.arn",), feature="features/f.feature", lines=frozenset({3}))
        assert tried(command.Wanted(labs=1, change=change), ONE, subject) == 0
        assert tried.runs.asked == [(("two",), None), (("two",), "any-arn")]
        # One that fails by the change itself would notice every fault.
        tried.runs.verdicts["two"] = "failed"
        with pytest.raises(EnvironmentBroken, match="two failed"):
            tried(command.Wanted(labs=1, change=change), ONE, subject)

    def test_a_not_applicable_scenario_is_unproven_unless_the_file_says_why(
        self, tried: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried.runs.verdicts["two"] = "not-applicable"
        subject = replace(TWO, claims=("s2.arn",))
        assert tried(command.Wanted(labs=1, named=True), subject) == 1
        assert tried.matrix["problems"] == [
            "unproven: no fault that violates s2.arn was noticed by two",
            "without a victim: any-arn, and the catalogue has no reason why",
        ]
        monkeypatch.setattr(command, "NOT_APPLICABLE", {("two", "s2.arn"): "it needs what is not here"})
        assert tried(command.Wanted(labs=1, named=True), subject) == 0
        # What is withheld might have been judged, unless the file says why not.
        tried.runs.verdicts["two"] = "withheld"
        assert tried(command.Wanted(labs=1, named=True), subject) == 1
        monkeypatch.setattr(command, "WITHHELD", {("two", "s2.arn"): "it needs another environment"})
        assert tried(command.Wanted(labs=1, named=True), subject) == 0

    def test_a_not_applicable_scenario_that_is_judged_has_to_be_proven(
        self, tried: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(command, "NOT_APPLICABLE", {("two", "s2.more"): "it needs what is not here"})
        assert tried(command.Wanted(labs=1, named=True), TWO) == 1

    def test_a_changed_step_is_proven_and_what_is_not_covered_is_told(self, tried: Command) -> None:
        change = touched.Change({}, {"steps/gone.py": '@then("it holds")', "harness/cli.py": "    pass"})
        subject = replace(TWO, claims=("s2.arn", "s2.more"), steps=frozenset({"it holds"}))
        assert tried(command.Wanted(labs=1, change=change), ONE, subject) == 1
        assert tried.matrix["problems"] == ["unproven: no fault that violates s2.more was noticed by two"]
        assert "not covered: harness/cli.py differs, and no scenario or fault is tried for it" in tried.told

    def test_a_report_of_an_earlier_run_is_not_read(self, tried: Command) -> None:
        subject = replace(TWO, claims=("s2.arn",))

        def written(folder: Path) -> labs.Lab:
            return labs.read(folder, "report.json", "environment")

        def run(arguments: Sequence[str], folder: Path) -> int:
            (folder / "environment").mkdir(parents=True)
            faulty = "--fault" in arguments
            if faulty and dies:
                return 2
            step_seen = step("Then", "it holds", "failed" if faulty else "passed")
            seen = {
                "id": "two",
                "verdict": step_seen["verdict"],
                "reason": None,
                "seconds": 1.0,
                "steps": [step_seen],
            }
            (folder / "environment" / "decisions.json").write_text(json.dumps(sorted(TAKEN)))
            (folder / "report.json").write_text(json.dumps({"scenarios": [seen]}))
            return int(faulty)

        def conclude() -> int:
            ways = command.Ways(run, tried.runs.end, written, tried.told.append)
            made = load({"report_dir": tried.folder}, {})
            return command.faults(made, [subject], command.Wanted(labs=1, named=True), ways, {})

        dies = False
        assert conclude() == 0
        dies = True
        assert conclude() == 1
        assert tried.matrix["faults"][0]["runs"][0]["outcome"] == "broke"

    def test_what_was_seen_red_is_noted_for_coverage(self, tried: Command, tmp_path: Path) -> None:
        file = tmp_path / "shown_red.yaml"
        earlier = {
            "environment": "lab-simulated",
            "scenario": "two",
            "claims": ["x"],
            "by": "any-arn",
            "day": "2020-01-01",
        }
        other = {**earlier, "environment": "lab-real"}
        file.write_text("# Head.\n\n" + yaml.safe_dump([earlier, other]))
        assert tried(command.Wanted(labs=1, record=file), replace(TWO, claims=("s2.arn",))) == 0
        text = file.read_text()
        assert text.startswith("# Head.\n\n- environment")
        seen, kept = yaml.safe_load(text)
        assert kept == other
        assert seen["claims"] == ["s2.arn"]
        assert seen["day"] > "2026"

    @pytest.mark.parametrize(
        ("env", "real", "where"),
        [
            ("lab", [], "lab-simulated"),
            ("lab", ["teleport"], "lab-mixed"),
            ("lab", ["apiserver", "teleport", "chart"], "lab-real"),
            ("kind", ["apiserver", "kubelet", "teleport", "chart"], "kind"),
        ],
    )
    def test_notes_name_the_environment(self, env: str, real: list[str], where: str) -> None:
        assert shown.environment(env, real) == where

    def test_of_images_no_program_is_wrapped(self) -> None:
        of_kind = ("apiserver", "kubelet", "teleport", "chart")
        programs, images = (
            {fault.name for fault in prove.chosen(FAULTS, (), of_kind, images=images)}
            for images in (False, True)
        )
        assert programs - images == {
            name for name, wrong in MISCONFIGURATIONS.items() if not wrong.fits_images
        }
        assert {fault.name for fault in FAULTS if fault.component == "aws"} <= images

    def test_an_official_webhook_has_no_fault(self) -> None:
        real = ("apiserver", "kubelet", "teleport", "chart", "webhook_injects")
        assert "webhook-injects-nothing" not in {fault.name for fault in prove.chosen(FAULTS, (), real)}

    def test_a_touched_fault_without_a_victim_is_1(
        self, tried: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        added = replace(ODD, name="added", unowned="")
        monkeypatch.setattr(command, "FAULTS", (ARN, ODD, added))
        change = touched.Change({}, {"simulators/aws/faults.py": '"added": 1'})
        assert tried(command.Wanted(labs=1, change=change), TWO) == 1
        assert tried.matrix["problems"] == ["without a victim: added, and the catalogue has no reason why"]


def test_the_catalogues_own_entries_are_found() -> None:
    found = touched.entries(CATALOGUE_FILE.read_text())
    assert {fault.name for fault in FAULTS} <= set(found)
