"""What SIGINT and SIGHUP do to a training run."""

import signal
import threading
from enum import IntEnum
from types import FrameType
from typing import Any


class Effect(IntEnum):
    """What a signal asks the solver for; the greater one counts where two came."""

    NONE = 0
    SNAPSHOT = 1
    STOP = 2


class SignalRequests:
    """A context in which signals ask a solver to stop or to write a snapshot.

    A signal only leaves a note, which the solver reads between iterations. Where SIGINT asks to
    stop, a second one interrupts at once. Outside the main thread Python allows no handlers, so
    there the context changes nothing.
    """

    def __init__(self, sigint: Effect = Effect.STOP, sighup: Effect = Effect.SNAPSHOT) -> None:
        self._effects = {signal.SIGINT: sigint, signal.SIGHUP: sighup}
        self._asked = Effect.NONE
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "SignalRequests":
        self._asked = Effect.NONE
        if threading.current_thread() is threading.main_thread():
            for number in self._effects:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        effect = self._effects[signal.Signals(number)]
        self._asked = max(self._asked, effect)
        if number == signal.SIGINT and effect == Effect.STOP:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def stop(self) -> bool:
        """Whether a signal asked to stop that `take` did not give yet."""
        return self._asked == Effect.STOP

    def take(self) -> Effect:
        """What was asked for since the last call."""
        asked, self._asked = self._asked, Effect.NONE
        return asked
