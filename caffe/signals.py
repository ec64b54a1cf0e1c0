"""Stopping a training run by signal without losing it."""

import signal
import threading
from types import FrameType
from typing import Any


class SignalRequests:
    """A context in which SIGINT asks to stop and SIGHUP asks for a snapshot.

    Both only set a flag, which the solver reads between iterations. A second SIGINT interrupts at
    once. Outside the main thread Python allows no handlers, so there the context changes nothing.
    """

    def __init__(self) -> None:
        self.stop = self.snapshot = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "SignalRequests":
        self.stop = self.snapshot = False
        if threading.current_thread() is threading.main_thread():
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._on_interrupt)
            self._previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self.stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        self.snapshot = True

    def take_snapshot(self) -> bool:
        """Whether a snapshot was asked for since the last call."""
        asked, self.snapshot = self.snapshot, False
        return asked
