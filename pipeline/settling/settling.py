"""Between a page that was read and its row: its record is assessed, once its text is there, and may be in doubt.

A page stays parked until its text was read or given up. Every page with a valid record, parked or waiting for another
try, ends in `settle`, whatever becomes of its engine, and however the run is told to end. Only a run that is killed
reads them again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from threading import Event

from pipeline.data import ImageFacts, PageImage, PageKey, PageRecord, PageTask, Status, TrySettings
from pipeline.doubts import Doubts
from pipeline.errors import PageError
from pipeline.judge import Judge
from pipeline.settling.seams import Stop, Texts
from pipeline.skip import Shortcuts
from pipeline.tally import Tally
from pipeline.trust.assessing import Trust
from pipeline.trust.placing import placed
from pipeline.trust.reading import NO_TEXT, PageText

LOOK_S = 0.5
"""How often a run that waits for text at its end looks whether it is to stop."""


class Settling:
    """Implements feed.Shortcuts around those that settle pages without the engine. Used by one thread."""

    def __init__(
        self,
        shortcuts: Shortcuts,
        judge: Judge,
        trust: Trust,
        doubts: Doubts,
        *,
        texts: Texts | None,
        stop: Stop,
        tally: Tally,
        settle: Callable[[PageRecord], None],
    ) -> None:
        """Know no page yet.

        Args:
            texts: reads what the engine does not tell, and is closed here; without it, nobody does.
            settle: told of each page that gets its terminal record here.
        """
        self.judge = judge
        self._shortcuts = shortcuts
        self._trust = trust
        self._doubts = doubts
        self._texts = texts
        self._stop = stop
        self._tally = tally
        self._settle = settle
        self._parked: dict[PageKey, tuple[PageTask, PageRecord]] = {}
        self._woken = Event()

    # What the feed asks.

    @property
    def num_pending(self) -> int:
        """Pages that are being settled without the engine, or that `again` has for it."""
        return self._shortcuts.num_pending

    @property
    def is_full(self) -> bool:
        """Whether no further page is to be rendered for now."""
        return self._texts is not None and self._texts.is_full

    @property
    def may_return(self) -> bool:
        """Whether pages that the engine has read may have to be read again."""
        return bool(self._parked) and self._doubts.are_wanted

    def take(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> bool:
        """Return whether the engine need not read a page; where it must, begin to read its text."""
        if self._shortcuts.take(task, image, wake):
            return True
        if self._texts:
            self._texts.begin(task, image, partial(self._wake, wake))
        return False

    def again(self) -> Iterator[PageTask]:
        """Settle the pages whose text was read meanwhile; yield those that the engine must read, or read again."""
        yield from self._shortcuts.again()
        yield from self._arrived()

    # What the driver tells.

    def judged(self, task: PageTask, decision: PageRecord | TrySettings) -> TrySettings | None:
        """Settle a page, or park it until its text was read; return the settings of its next try if it has one now."""
        if isinstance(decision, PageRecord) and decision.status is Status.OK:
            return self._assessed(task, decision)
        if earlier := self._doubts.earlier(task):
            self._end(task, earlier)
        elif isinstance(decision, TrySettings):
            return decision
        else:
            self._end(task, self._assess(task, decision, [self._text_of(task, decision) or NO_TEXT]))
        return None

    def give_up(self, task: PageTask, error: PageError) -> None:
        """Settle a page that gets no further try although no engine answered the last one."""
        self.judged(task, self.judge.give_up(task, error))

    def finish(self, *, at_once: bool = False) -> None:
        """Settle the pages that are parked, with the text that there is time for, and those that wait for another try.

        Args:
            at_once: there is time only for what is being read already.
        """
        self._doubts.are_wanted = False
        patience_s = self._texts.patience_s(self._tally.reading_s) if self._texts and not at_once else 0.0
        ends_at = time.monotonic() + patience_s
        while self._parked:
            self._woken.clear()
            for _ in self._arrived():
                pass
            if self._texts and (self._stop.is_set() or time.monotonic() >= ends_at):
                self._texts.give_up()
            if self._parked:
                self._woken.wait(LOOK_S)
        for task, first in self._doubts.unread():
            self._end(task, first)

    def settled(self, record: PageRecord) -> None:
        """Take note that a page has its terminal record; see skip.Shortcuts."""
        self._shortcuts.settled(record)

    def close(self) -> None:
        """End the processes; pages that are parked have no row."""
        self._shortcuts.close()
        if self._texts:
            self._texts.close()

    def _wake(self, feed: Callable[[], None]) -> None:
        """Let whoever waits look again; any thread may call it."""
        self._woken.set()
        feed()

    def _arrived(self) -> Iterator[PageTask]:
        """Settle parked pages whose text was read; yield those that the engine must read again."""
        for key in self._texts.arrived() if self._texts else ():
            if (parked := self._parked.pop(key, None)) and (following := self._assessed(*parked)):
                self._tally.page_returns()
                parked[0].settings = following
                yield parked[0]

    def _assessed(self, task: PageTask, record: PageRecord) -> TrySettings | None:
        """Settle a valid record as soon as it is assessed; return the settings of another try if it is in doubt."""
        texts: list[PageText] = []
        for page in task.window:
            if (text := self._text_of(page, record)) is None:
                self._parked[page.key] = task, record
                return None
            texts.append(text)
        record = self._assess(task, record, texts)
        following = None if self._stop.is_set() else self._doubts.following(task, record)
        if following is None:
            self._end(task, self._doubts.best(task, record))
        return following

    def _text_of(self, task: PageTask, record: PageRecord) -> PageText | None:
        """Return the text to hold a record against; None where it is still being read."""
        own = PageText(record.lines, task.shown)
        return own if record.lines or not self._texts or record.record is None else self._texts.of(task)

    def _assess(self, task: PageTask, record: PageRecord, texts: Sequence[PageText]) -> PageRecord:
        """Hold a record against the text of its page, or of the pages that were read together, in their order."""
        shown = ImageFacts(record.width_px, record.height_px, rotation_deg=record.rotation_deg)
        lines = record.lines or placed(texts[0].lines, texts[0].image, shown)
        others = [
            (page.page_number, placed(text.lines, text.image, page.shown))
            for page, text in zip(task.others, texts[1:], strict=False)
        ]
        return self._trust.assess(replace(record, lines=lines), lines, others)

    def _end(self, task: PageTask, record: PageRecord) -> None:
        others = [*self._read_with(task, record)]
        if self._texts:
            for page in task.window:
                self._texts.drop(page)
        self._doubts.forget(task)
        for one in (record, *others):
            self._settle(one)

    def _read_with(self, task: PageTask, record: PageRecord) -> Iterator[PageRecord]:
        """Yield the rows of the pages that were read with a page, with their texts."""
        for page, row in zip(task.others, self.judge.read_with(task, record), strict=True):
            text = self._texts.of(page) if self._texts else None
            yield replace(row, lines=placed(text.lines, text.image, page.shown)) if text else row
