"""Ends a pytest run on SIGTERM as on Ctrl-C: tear-down runs, and what had finished is reported."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from types import FrameType

LAST_SECONDS = 15.0
"""How long a worker may tear down; the command kills what is left after 20 s."""

INTERRUPTED = 2


def tear_down_on_signals(*, controls_workers: bool, is_worker: bool) -> None:
    """Makes SIGTERM and SIGINT end this process by KeyboardInterrupt, which lets fixtures tear down.

    A later SIGTERM does not disturb the tear-down. A second Ctrl-C does, but not in a worker: there it
    may be the same one, seen twice.

    Args:
        controls_workers: Whether this process has workers of pytest-xdist, which are told at once;
            execnet alone would leave them five seconds to finish first.
        is_worker: Whether this process is one.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN if is_worker else signal.default_int_handler)
        if controls_workers:
            for worker in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):
                    worker.terminate()
        if is_worker:
            # Between two scenarios something below pytest may swallow the exception, and the next one begins.
            last = threading.Timer(LAST_SECONDS, os._exit, (INTERRUPTED,))
            last.daemon = True
            last.start()
        raise KeyboardInterrupt

    # Signals can only be handled in the main thread; pytest runs in another only when embedded.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGINT, interrupt)
