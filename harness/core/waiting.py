"""Becoming and staying: polling an oracle against a deadline; the only waits there are.

`eventually` is for what shall come about, `stays` for what shall not happen (design, rules 3
and 4). Both ask an oracle, never a command's own word for its success.
"""

import reprlib
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from tenacity import RetryError, Retrying, retry_if_result, wait_exponential

from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.redaction import redact

T = TypeVar("T")

_LEAST_LOOKS = 3
_SLOWEST = 1.0  # seconds between two looks, at most
_SLOWEST_WHEN_SHORT = 0.5
_SHORT = 20.0  # seconds; a budget below this is short
_GROWTH = 1.2
_LONGEST_TEXT = 600

# Tests put a clock of their own here.
_clock = time.monotonic
_sleep = time.sleep

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200
_repr.maxlevel, _repr.maxlist, _repr.maxdict = 5, 8, 12


class Control(Protocol):
    """Shows that a watch for something that must not happen could have seen it."""

    def before(self) -> None:
        """Show that the same query showed the thing earlier in the scenario; raise if not."""

    def after(self) -> None:
        """Show by a canary that the path to the oracle still works; raise if not."""


def eventually(
    oracle: Callable[[], T],
    ready: Callable[[T], bool],
    *,
    expected: str,
    within: float,
    failed: Callable[[T], str | None] | None = None,
    times: int = 1,
    interval: float = 0.1,
    last_words: Callable[[], str] | None = None,
) -> T:
    """Look until the oracle shows what is expected.

    Args:
        oracle: Reads the present state. `TransientOracleError` means that it could not be read
            this time and is no answer; any other exception ends the wait.
        ready: Whether a state is the expected one.
        expected: The expected state in words.
        within: Seconds until it must be so; a look begun by then counts. One look is always taken.
        failed: Why a state can never become ready, or None; a reason ends the wait at once and
            is asked before `ready`.
        times: How many looks in a row must be ready.
        interval: Seconds between the first two looks; it grows to 1, or to 0.5 when `within`
            is below 20.
        last_words: The product's own last error, for the message.

    Returns:
        The state that was ready.

    Raises:
        NotObserved: It was not seen in time, or `failed` gave a reason.
        ValueError: `times` is below 1, with which anything would be ready.
    """
    if times < 1:
        raise ValueError(f"times is {times}: at least one look must be ready")
    looks = _Looks(oracle)
    streak = 0

    def is_ready() -> bool:
        nonlocal streak
        state = looks.take()
        if state is None:
            streak = 0
            return False
        if failed is not None and (reason := failed(state.value)) is not None:
            raise NotObserved(
                _message(expected, looks, within, last_words, f"it cannot come any more: {reason}")
            )
        streak = streak + 1 if ready(state.value) else 0
        return streak >= times

    slowest = _SLOWEST_WHEN_SHORT if within < _SHORT else _SLOWEST
    pause = wait_exponential(multiplier=interval, exp_base=_GROWTH, max=slowest)
    wait = Retrying(
        retry=retry_if_result(lambda done: not done),
        stop=lambda _: looks.elapsed() >= within,
        # The last look is taken at the deadline, not up to a pause after it.
        wait=lambda attempt: max(0.0, min(pause(attempt), within - looks.elapsed())),
        sleep=_sleep,
    )
    try:
        wait(is_ready)
    except RetryError:
        note = f"ready {streak} times in a row, of {times}" if streak else None
        raise NotObserved(_message(expected, looks, within, last_words, note)) from None
    return looks.last_state().value


def stays(
    oracle: Callable[[], T],
    predicate: Callable[[T], bool],
    *,
    expected: str,
    budget: float,
    control: Control,
    interval: float = 0.2,
) -> T:
    """Look for a whole budget and see that a state does not change for the worse.

    Args:
        oracle: Reads the present state; see `eventually`.
        predicate: Whether a state is still as it shall be.
        expected: What shall stay so, in words.
        budget: Seconds to watch; longer when it takes longer to look three times.
        control: Shows before and after that the watch is not blind.
        interval: Seconds between two looks.

    Returns:
        The last state seen.

    Raises:
        NotObserved: A look showed otherwise.
        EnvironmentBroken: The watch was blind: a control failed, or the oracle did not
            answer at the end or in most looks. Nothing is said about the product then.
        ValueError: The budget is not above 0, with which nothing would be watched.
    """
    if budget <= 0:
        raise ValueError(f"budget is {budget}: a watch takes time")
    _check(control.before, "before", expected)
    looks = _Looks(oracle)

    def is_over() -> bool:
        at_end = looks.elapsed() >= budget
        state = looks.take()
        if state is not None and not predicate(state.value):
            raise NotObserved(_message(expected, looks, budget, None, "it did not stay so"))
        if at_end and (state is None or looks.unanswered > looks.answered):
            raise _blind(expected, f"{looks.unanswered} of {looks.count} looks without answer: {looks.error}")
        return at_end and looks.answered >= _LEAST_LOOKS

    pause = min(interval, budget / _LEAST_LOOKS)
    watch = Retrying(
        retry=retry_if_result(lambda over: not over),
        wait=lambda _: min(pause, remaining) if (remaining := budget - looks.elapsed()) > 0 else pause,
        sleep=_sleep,
    )
    watch(is_over)
    _check(control.after, "after", expected)
    return looks.last_state().value


class _State(Generic[T]):
    """Something that an oracle answered; it may well be None."""

    def __init__(self, value: T) -> None:
        self.value = value


class _Looks(Generic[T]):
    """Counts the looks at an oracle and keeps the last answer."""

    def __init__(self, oracle: Callable[[], T]) -> None:
        self._oracle = oracle
        self._started = _clock()
        self._last: _State[T] | None = None
        self.answered = 0
        self.unanswered = 0
        self.error: TransientOracleError | None = None  # of the latest look, if it had no answer

    @property
    def count(self) -> int:
        return self.answered + self.unanswered

    def elapsed(self) -> float:
        return _clock() - self._started

    def take(self) -> _State[T] | None:
        try:
            self._last = _State(self._oracle())
        except TransientOracleError as error:
            self.unanswered += 1
            self.error = error
            return None
        self.answered += 1
        self.error = None
        return self._last

    def last_state(self) -> _State[T]:
        if self._last is None:
            raise AssertionError("a wait ended well without any answer")
        return self._last

    def describe(self) -> str:
        seen = "nothing" if self._last is None else _short(self._last.value)
        return (
            seen
            if self.error is None
            else f"{seen}; then the oracle did not answer: {_short(str(self.error))}"
        )


def _message(
    expected: str, looks: _Looks[T], budget: float, last_words: Callable[[], str] | None, note: str | None
) -> str:
    lines = [
        f"expected: {expected}",
        f"last seen: {looks.describe()}",
        f"waited: {looks.elapsed():.2f} s of {budget:g} s, {looks.count} looks",
    ]
    if note:
        lines.append(f"note: {redact(note)}")
    if last_words is not None:
        lines.append(f"last words: {_guarded(last_words)}")
    return "\n".join(lines)


def _guarded(last_words: Callable[[], str]) -> str:
    try:
        return redact(last_words())
    except Exception as error:  # noqa: BLE001 - it must not hide what was not observed
        return f"could not be read: {_short(str(error))}"


def _short(value: object) -> str:
    # This text goes into the report without passing the recorder, so it is redacted here.
    clean = redact(value)
    text = clean if isinstance(clean, str) else _repr.repr(clean)
    if len(text) <= _LONGEST_TEXT:
        return text
    # What a log says last is what it is asked for.
    return f"…{text[-_LONGEST_TEXT:]}" if "\n" in text else f"{text[:_LONGEST_TEXT]}…"


def _check(control: Callable[[], None], when: str, expected: str) -> None:
    try:
        control()
    except Exception as error:
        raise _blind(expected, f"the control {when} it failed: {_short(str(error))}") from error


def _blind(expected: str, seen: str) -> EnvironmentBroken:
    return EnvironmentBroken(
        expected=f"to be able to see whether this stays so: {expected}",
        seen=seen,
        remedy="look at the evidence of the oracle: the watch was blind, nothing is known of the product",
    )
