"""How far a run is: counts, speed and the time that is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.data import PageRecord, Status

log = logging.getLogger(__name__)

REPORT_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    phase: str
    """"waiting", "listing", "loading the engine", "checking the engine", "reading", "committing" or "done"."""
    documents_total: int
    """To be read: those done earlier are not among them."""
    documents_done: int
    documents_skipped: int
    """Unchanged since an earlier run with the same settings."""
    pages_found: int
    """Of the documents opened so far."""
    pages_ok: int
    pages_failed: int
    pages_retried: int
    elapsed_s: float
    pages_per_s: float
    """Since the engine was ready."""
    eta_s: float | None
    """None until a page is done."""
    last_failure: str | None


class Tally:
    """Counts what a run has done and tells `on_progress` of it now and then."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self.documents_total = self.documents_opened = self.documents_done = 0
        self.documents_skipped = self.documents_skipped_failed = self.documents_arriving = 0
        self.pages_found = self.pages_ok = self.pages_failed = self.pages_retried = 0
        self._pages_read = 0
        self._last_failure: str | None = None
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._reading_since: float | None = None
        self._phase = ""
        self.on_phase: Callable[[str], None] = lambda _: None
        """Told of each new phase as it begins."""
        self._due = 0.0

    def planned(self, to_read: int, skipped: int, skipped_failed: int) -> None:
        """Say how many documents are to be read, were done earlier, and failed then."""
        self.documents_total, self.documents_skipped, self.documents_skipped_failed = to_read, skipped, skipped_failed

    @property
    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    @property
    def reading_s(self) -> float:
        """Since the engine was ready."""
        return time.monotonic() - self._reading_since if self._reading_since is not None else 0.0

    @property
    def pages_per_s(self) -> float:
        """Rate of the engine since it was ready; what an earlier reading or a killed run has takes no time."""
        return self._pages_read / self.reading_s if self.reading_s > 0 else 0.0

    @property
    def pages_left(self) -> int:
        """Of the documents opened."""
        return self.pages_found - self.pages_ok - self.pages_failed

    def opened(self, num_pages: int) -> None:
        """Count a document and its pages; one that cannot be opened counts as one page."""
        self.documents_opened += 1
        self.pages_found += num_pages

    def page_read(self, count: int = 1) -> None:
        """Count a page whose last try the engine has answered, or pages that were read together."""
        self._pages_read += count

    def page_returns(self) -> None:
        """Count another try of a page that was counted as read: it is in doubt."""
        self._pages_read -= 1
        self.pages_retried += 1

    def page_done(self, record: PageRecord) -> None:
        """Count a terminal row."""
        if record.status is Status.OK:
            self.pages_ok += 1
            return
        self.pages_failed += 1
        place = record.document.ref.name + (f" page {record.page_number}" if record.page_number else "")
        self._last_failure = f"{place}: {record.error}"
        log.info(
            "page failed",
            extra={"document": record.document.ref.uri, "page": record.page_number, "error": str(record.error)},
        )

    def report(self, phase: str | None = None) -> bool:
        """Tell how far the run is if the phase is new or the last word is old enough; return whether it was told."""
        now = time.monotonic()
        phase = phase or self._phase
        if phase == self._phase and now < self._due:
            return False
        if phase != self._phase:
            self.on_phase(phase)
        if phase == "reading" and self._reading_since is None:
            self._reading_since = now
        self._phase, self._due = phase, now + REPORT_INTERVAL_S
        self._on_progress(self.progress())
        return True

    def progress(self) -> Progress:
        """Return how far the run is; any thread may ask."""
        rate = self.pages_per_s
        return Progress(
            phase=self._phase,
            documents_total=self.documents_total,
            documents_done=self.documents_done,
            documents_skipped=self.documents_skipped,
            pages_found=self.pages_found,
            pages_ok=self.pages_ok,
            pages_failed=self.pages_failed,
            pages_retried=self.pages_retried,
            elapsed_s=self.elapsed_s,
            pages_per_s=rate,
            eta_s=(self.pages_left + self._pages_unopened()) / rate if rate else None,
            last_failure=self._last_failure,
        )

    def _pages_unopened(self) -> float:
        """Documents not opened yet are taken to be as long as those that were."""
        unopened = max(0, self.documents_total - self.documents_opened)
        return unopened * (self.pages_found / self.documents_opened if self.documents_opened else 1.0)
