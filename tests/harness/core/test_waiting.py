"""Becoming and staying, on a clock that only sleeping and looking moves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from harness.core import waiting
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.redaction import Redactor
from harness.core.waiting import eventually, stays


@dataclass
class Clock:
    """Time that passes by sleeping only."""

    now: float = 100.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(waiting, "_clock", lambda: fake.now)
    monkeypatch.setattr(waiting, "_sleep", fake.sleep)
    return fake


def answers(*values: object) -> Callable[[], object]:
    """An oracle that gives these answers, then the last one for ever; exceptions are raised."""
    rest = list(values)

    def oracle() -> object:
        value = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(value, Exception):
            raise value
        return value

    return oracle


@dataclass
class Control:
    """A control whose halves fail when told to."""

    fails: Iterable[str] = ()
    calls: list[str] = field(default_factory=list)

    def before(self) -> None:
        self._call("before")

    def after(self) -> None:
        self._call("after")

    def _call(self, half: str) -> None:
        self.calls.append(half)
        if half in self.fails:
            raise AssertionError(f"the canary {half} was not seen")


def is_up(state: object) -> bool:
    return state == "up"


def test_the_state_that_was_ready_is_returned_without_a_needless_wait(clock: Clock) -> None:
    assert eventually(answers("up"), is_up, expected="up", within=5) == "up"
    assert clock.sleeps == []


def test_a_state_of_none_can_be_the_expected_one(clock: Clock) -> None:
    assert eventually(answers("there", None), lambda state: state is None, expected="gone", within=5) is None


def test_a_state_that_comes_in_time_is_seen(clock: Clock) -> None:
    assert eventually(answers("down", "down", "up"), is_up, expected="up", within=5) == "up"
    assert len(clock.sleeps) == 2


def test_a_time_out_tells_what_was_expected_seen_and_said(clock: Clock) -> None:
    with pytest.raises(NotObserved) as raised:
        eventually(
            answers("down"), is_up, expected="the agent is up", within=3, last_words=lambda: "access denied"
        )
    text = str(raised.value)
    assert "expected: the agent is up" in text
    assert "last seen: down" in text
    assert "waited: 3.00 s of 3 s" in text
    assert f"{len(clock.sleeps) + 1} looks" in text
    assert "last words: access denied" in text


def test_the_last_look_is_at_the_deadline_and_counts(clock: Clock) -> None:
    late = lambda: "up" if clock.now >= 103.0 else "down"  # noqa: E731 - shorter than a function here
    assert eventually(late, is_up, expected="up", within=3) == "up"
    with pytest.raises(NotObserved):
        eventually(lambda: "up" if clock.now > 106.5 else "down", is_up, expected="up", within=3)


def test_looks_become_rarer_up_to_a_limit_that_depends_on_the_budget(clock: Clock) -> None:
    with pytest.raises(NotObserved):
        eventually(answers("down"), is_up, expected="up", within=19)
    assert clock.sleeps[0] == pytest.approx(0.1)
    assert max(clock.sleeps) == pytest.approx(0.5)
    clock.sleeps.clear()
    with pytest.raises(NotObserved):
        eventually(answers("down"), is_up, expected="up", within=60)
    assert max(clock.sleeps) == pytest.approx(1.0)


def test_a_state_from_which_there_is_no_way_back_ends_the_wait_at_once(clock: Clock) -> None:
    with pytest.raises(NotObserved, match="it cannot come any more: the pod is gone"):
        eventually(
            answers("down", "gone"),
            is_up,
            expected="up",
            within=60,
            failed=lambda state: "the pod is gone" if state == "gone" else None,
        )
    assert len(clock.sleeps) == 1


def test_a_failed_state_is_not_ready_even_if_it_looks_so(clock: Clock) -> None:
    with pytest.raises(NotObserved):
        eventually(answers("up"), is_up, expected="up", within=5, failed=lambda _: "restarted")


def test_ready_looks_must_follow_each_other(clock: Clock) -> None:
    states = answers("up", "up", "down", "up", TransientOracleError("503"), "up", "up", "up", "then")
    assert eventually(states, is_up, expected="up", within=10, times=3) == "up"
    assert len(clock.sleeps) == 7


def test_too_few_ready_looks_in_a_row_are_not_enough(clock: Clock) -> None:
    with pytest.raises(NotObserved, match="ready 1 times in a row, of 2"):
        eventually(answers("up"), is_up, expected="up", within=0, times=2)


def test_no_look_at_all_is_never_enough() -> None:
    with pytest.raises(ValueError, match="times is 0"):
        eventually(answers("down"), is_up, expected="up", within=1, times=0)


def test_an_oracle_that_does_not_answer_for_a_while_is_asked_again(clock: Clock) -> None:
    states = answers(TransientOracleError("connection refused"), "up")
    assert eventually(states, is_up, expected="up", within=5) == "up"


def test_an_oracle_that_never_answers_is_told_with_its_error(clock: Clock) -> None:
    with pytest.raises(
        NotObserved, match="last seen: nothing; then the oracle did not answer: connection refused"
    ):
        eventually(answers(TransientOracleError("connection refused")), is_up, expected="up", within=2)


def test_any_other_error_of_the_oracle_is_not_swallowed(clock: Clock) -> None:
    with pytest.raises(PermissionError, match="forbidden"):
        eventually(answers(PermissionError("forbidden")), is_up, expected="up", within=5)
    assert clock.sleeps == []


def test_last_words_that_cannot_be_read_do_not_hide_the_time_out(clock: Clock) -> None:
    def broken() -> str:
        raise OSError("the log is gone")

    with pytest.raises(
        NotObserved, match=r"(?s)expected: up.*last words: could not be read: the log is gone"
    ):
        eventually(answers("down"), is_up, expected="up", within=1, last_words=broken)


def test_the_message_is_short_and_holds_no_secret(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor()
    redactor.register("s3ntinel-secret")
    monkeypatch.setattr(waiting, "redact", redactor.redact)
    state = {"log": ["s3ntinel-secret " + "x" * 5000] * 100, "password": "hunter2hunter2"}
    with pytest.raises(NotObserved) as raised:
        eventually(answers(state), is_up, expected="up", within=1, last_words=lambda: "bad s3ntinel-secret")
    assert "s3ntinel" not in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_what_stays_is_watched_for_the_whole_budget_between_its_controls(clock: Clock) -> None:
    control = Control()
    assert stays(answers("up"), is_up, expected="up", budget=2, control=control) == "up"
    assert clock.now == pytest.approx(102.0)
    assert len(clock.sleeps) == 10
    assert control.calls == ["before", "after"]


def test_the_first_violation_is_told_and_the_last_moment_is_watched(clock: Clock) -> None:
    control = Control()
    with pytest.raises(NotObserved, match=r"(?s)expected: still up.*last seen: down.*it did not stay so"):
        stays(
            lambda: "down" if clock.now >= 102.0 else "up",
            is_up,
            expected="still up",
            budget=2,
            control=control,
        )
    assert control.calls == ["before"]


def test_a_short_budget_still_gets_three_looks(clock: Clock) -> None:
    looks = []

    def quick() -> str:
        looks.append(clock.now)
        return "up"

    stays(quick, is_up, expected="up", budget=0.001, control=Control())
    assert len(looks) >= 3


def test_a_slow_oracle_is_looked_at_three_times_beyond_the_budget(clock: Clock) -> None:
    looks = []

    def slow() -> str:
        clock.now += 5
        looks.append(1)
        return "up"

    stays(slow, is_up, expected="up", budget=2, control=Control())
    assert len(looks) == 3


@pytest.mark.parametrize("half", ["before", "after"])
def test_a_watch_whose_control_fails_says_nothing_about_the_product(clock: Clock, half: str) -> None:
    with pytest.raises(
        EnvironmentBroken, match=f"the control {half} it failed: the canary {half} was not seen"
    ):
        stays(answers("up"), is_up, expected="up", budget=1, control=Control(fails=[half]))


def test_a_watch_that_ends_blind_says_nothing_about_the_product(clock: Clock) -> None:
    states = answers("up", "up", "up", TransientOracleError("503"))
    with pytest.raises(EnvironmentBroken, match="looks without answer: 503"):
        stays(states, is_up, expected="up", budget=1, control=Control())


def test_a_watch_that_was_blind_most_of_the_time_says_nothing_about_the_product(clock: Clock) -> None:
    states = answers(*[TransientOracleError("503")] * 8, "up")
    with pytest.raises(EnvironmentBroken, match="8 of 11 looks without answer"):
        stays(states, is_up, expected="up", budget=2, control=Control())


def test_a_moment_without_answer_does_not_end_a_watch(clock: Clock) -> None:
    states = answers("up", TransientOracleError("503"), "up")
    assert stays(states, is_up, expected="up", budget=2, control=Control()) == "up"


def test_a_watch_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="budget is 0"):
        stays(answers("up"), is_up, expected="up", budget=0, control=Control())
