"""What Ctrl-C and SIGTERM do: the first one ends a run gracefully, a second one at once.

Knows nothing of what runs: it sets an event, and when that was not enough in time, it raises
KeyboardInterrupt in the main thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType, TracebackType

GRACE_S = {signal.SIGINT: 20.0, signal.SIGTERM: 8.0}
"""Seconds for finishing what is in the engine: `docker stop` sends SIGTERM and kills after 10 s."""
INTERRUPTED_MESSAGE = "pagemill: interrupted; finished documents are committed, run again to go on"
_CLEAR_LINE = "\r\x1b[2K"
"""Puts a message in place of a live line that is drawn again below it (ECMA-48: EL)."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C does, for those who have no keyboard (docker stop, systemd)."""


def raise_terminated(*_: object) -> NoReturn:
    """End the program; the handler of SIGTERM where nothing can be ended gracefully."""
    # Once: a second signal must not end the commit that the first one brings about.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


class GracefulStop:
    """While it is entered, in the main thread, it has the handlers of SIGINT, SIGTERM and SIGALRM.

    Until `begin` and after `end` a signal raises at once. In between the first one sets `event` and
    raises after its grace period; a second one raises at once.
    """

    def __init__(self, grace_s: Mapping[signal.Signals, float] = GRACE_S) -> None:
        self._grace_s = grace_s
        self.event = threading.Event()
        self.signal: signal.Signals | None = None
        """The first signal that came."""
        self._graceful = False
        self._finishing = False
        self._replaced: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            self._replaced[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What a shell would say of a program that the signal killed."""
        return 128 + (self.signal or signal.SIGINT)

    def begin(self) -> None:
        """From now on there is something to finish gracefully."""
        self._graceful = True
        self._finishing = False

    def finish(self) -> None:
        """What the grace period was for is done, and what follows should not be cut short by its end."""
        self._finishing = True
        signal.setitimer(signal.ITIMER_REAL, 0)

    def end(self) -> None:
        """There is nothing to finish any more."""
        if self._graceful:
            self._graceful = False
            self.finish()

    def _received(self, number: int, _: FrameType | None) -> None:
        came = signal.Signals(number)
        if came is signal.SIGALRM:
            self._raise(self.signal or signal.SIGINT)
        first = self.signal is None
        self.signal = self.signal or came
        if not (first and self._graceful):
            self._raise(came)
        self.event.set()
        if self._finishing:
            return
        grace_s = self._grace_s[came]
        signal.setitimer(signal.ITIMER_REAL, grace_s)
        _say(f"pagemill: stopping: finishing pages in the engine, up to {grace_s:.0f} s; again to stop at once\n")

    def _raise(self, cause: signal.Signals) -> NoReturn:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.signal = cause
        if cause is signal.SIGTERM:
            raise_terminated()
        raise KeyboardInterrupt


def _say(text: str) -> None:
    """Write to stderr past its buffer, which the interrupted code may be in the midst of filling."""
    descriptor = 2
    with contextlib.suppress(OSError):
        os.write(descriptor, ((_CLEAR_LINE if os.isatty(descriptor) else "") + text).encode())
