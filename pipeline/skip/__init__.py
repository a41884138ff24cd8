"""Pages that need no engine: blank ones, those that equal another one, and those whose text layer says all.

Asked of each rendered page before its first try, by the thread that feeds the engine. Every page it
takes ends in a row that says so. Known pages that an engine is tested with never come here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from pipeline.config import SkipConfig
from pipeline.data import AnsweredBy, PageImage, PageRecord, PageTask, Status
from pipeline.errors import GenerationInvalid
from pipeline.extraction import Extraction
from pipeline.skip.duplicates import Duplicates, identity_of
from pipeline.skip.layers import LayerReader
from pipeline.values import DateOrder

__all__ = ["LayerReader", "Shortcuts"]


class Shortcuts:
    """Implements feed.Shortcuts. Used by one thread."""

    def __init__(
        self,
        config: SkipConfig,
        extraction: Extraction,
        date_order: DateOrder,
        *,
        assess: Callable[[PageRecord], PageRecord],
        settle: Callable[[PageRecord], None],
        layers: LayerReader | None,
    ) -> None:
        """Know no page yet.

        Args:
            assess: says how far the record of a page can be trusted that was read here.
            settle: told of each page that gets its terminal record here.
            layers: reads text layers, and is closed here; without it, nobody does.
        """
        self._config = config
        self._extraction = extraction
        self._date_order = date_order
        self._assess = assess
        self._settle = settle
        self._layers = layers
        self._duplicates = Duplicates()
        self._again: deque[PageTask] = deque()

    @property
    def num_pending(self) -> int:
        """Pages whose text layer is being read, or that are to be read by the engine after all."""
        return len(self._again) + (self._layers.num_pending if self._layers else 0)

    def take(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> bool:
        """Return whether the page needs no engine, or not before it is known what becomes of another one.

        A page that is read together with others is spared only if it is blank: its text layer, or a page with the
        same image, says nothing about the others.
        """
        if self._config.blank and image.is_blank and not (image.text_layer and image.text_layer.lines):
            self._end(_record(task, AnsweredBy.BLANK, record=self._extraction.empty_record))
            return True
        if task.settings.window_pages > 1:
            return False
        if (key := identity_of(image)) is not None and self._config.duplicates:
            if earlier := self._duplicates.find(key):
                self._end(_repeated(task, earlier))
                return True
            if self._duplicates.must_wait(task, key):
                return True
        return self._layers is not None and self._layers.take(task, image, wake)

    def again(self) -> Iterator[PageTask]:
        """Record the pages whose text layer was read meanwhile; yield those that the engine must read after all."""
        for task, output in self._layers.done() if self._layers else ():
            try:
                record = self._extraction.validate(output.text, self._date_order) if output else None
            except GenerationInvalid:
                record = None
            is_whole = task.document.num_pages == 1
            if output and record and self._extraction.is_sufficient(record, is_whole=is_whole):
                read = _record(task, AnsweredBy.TEXT_LAYER, record=record, raw_text=output.text, lines=output.lines)
                self._end(self._assess(read))
            else:
                task.layer_refused = True
                self._again.append(task)
        while self._again:
            yield self._again.popleft()

    def settled(self, record: PageRecord) -> None:
        """Take note that a page has its terminal record; give it to the pages that wait for it, or have them read."""
        for task in self._duplicates.settled(record):
            if record.status is Status.OK:
                self._settle(_repeated(task, record))
            else:
                self._again.append(task)

    def close(self) -> None:
        """End the processes that read text layers; their pages stay unread."""
        if self._layers:
            self._layers.close()

    def _end(self, record: PageRecord) -> None:
        self._settle(record)
        self.settled(record)


def _record(task: PageTask, answered_by: AnsweredBy, **values: Any) -> PageRecord:
    """Return the row of a page that is ok without a try."""
    return PageRecord(
        task.document,
        task.page_number,
        Status.OK,
        started_at=task.started_at,
        finished_at=datetime.now(UTC),
        **asdict(task.shown),
        answered_by=answered_by,
        **values,
    )


def _repeated(task: PageTask, said: PageRecord) -> PageRecord:
    """Return the row of a page whose image is that of another one; boxes are on the image that was read."""
    return replace(
        said,
        document=task.document,
        page_number=task.page_number,
        started_at=task.started_at,
        finished_at=datetime.now(UTC),
        attempts=(),
        token_logprobs=(),
        evidence=tuple(replace(one, page_number=task.page_number) for one in said.evidence),
        render_s=task.shown.render_s,
        answered_by=AnsweredBy.DUPLICATE,
        duplicate_of=f"{said.document.ref.uri}#page={said.page_number}",
    )
