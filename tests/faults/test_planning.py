"""Planning, by property: whatever happens to an input between runs, each page has one current row, read when needed.

The model below says what a run must read and what it must record; runs are real ones.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults.verify import Output, Row, wrong_values
from faults.workload import Source, engine_choice, never_read, write_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import RenderConfig, RunConfig
from pipeline.render import Renderer
from pipeline.run import run

NAMES = ("a", "b", "c")
CONTENTS = {1: 1, 2: 3, 4: 2, 5: 1}
"""Document number -> pages; of some the workload's engine reads a page never, or at its second try only."""
FIRST_CHANGE_S = 1_700_000_000


class Settings(NamedTuple):
    """What differs between two runs."""

    date_order: str
    """Can change a record, so all is read again."""
    max_tries: int
    """Can only cure a failure, so only that is read again."""
    shard_pages: int
    """Changes nothing about a record."""


class Done(NamedTuple):
    """What the model remembers of a document's current row."""

    number: int
    changed: int
    date_order: str
    tries: int
    """Allowed to the pages of the document that failed."""


@dataclass
class Model:
    """What must be known after each run."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> (document number, time of change)."""
    current: dict[str, Done] = field(default_factory=dict)
    readings: dict[tuple[int, str], int] = field(default_factory=dict)
    """(Document number, date order) -> tries allowed when it was read last."""

    def expect(self, wanted: Settings) -> tuple[Counter[tuple[int, int]], set[str]]:
        """Return the pages that a run must read, and the documents that it must record; enter both as done."""
        pending = {name for name, file in self.files.items() if not self._is_done(name, file, wanted)}
        asked: Counter[tuple[int, int]] = Counter()
        for number in {self.files[name][0] for name in pending}:
            tries = self.readings.get((number, wanted.date_order))
            for page in range(1, CONTENTS[number] + 1):
                if tries is None or (never_read(number, page) and tries != wanted.max_tries):
                    asked[number, page] += 1
            self.readings[number, wanted.date_order] = wanted.max_tries
        for name in pending:
            self.current[name] = Done(*self.files[name], wanted.date_order, wanted.max_tries)
        return asked, pending

    def _is_done(self, name: str, file: tuple[int, int], wanted: Settings) -> bool:
        done = self.current.get(name)
        if done is None or (done.number, done.changed) != file or done.date_order != wanted.date_order:
            return False
        fails = any(never_read(done.number, page) for page in range(1, CONTENTS[done.number] + 1))
        return not fails or done.tries == wanted.max_tries


class World:
    """The files of the model, and runs over them."""

    def __init__(self, folder: Path) -> None:
        self.input, self.output = folder / "in", folder / "out"
        self.input.mkdir()
        (self.input / "readme.txt").write_text("An input that is never empty.")
        self.model = Model()
        self._numbers: dict[str, int] = {}
        self._clock = FIRST_CHANGE_S

    def apply(self, change: tuple[str, str, str, int]) -> None:
        """Write, delete, rename or touch a file; what cannot be done is not."""
        what, name, other, number = change
        files, path = self.model.files, self.input / f"{name}.pdf"
        if what == "write":
            write_source(path, Source(path.name, number, CONTENTS[number]))
            self._numbers[hashlib.sha256(path.read_bytes()).hexdigest()] = number
            self._touch(name, number)
        elif name not in files:
            return
        elif what == "touch":
            self._touch(name, files[name][0])
        elif what == "delete":
            path.unlink()
            del files[name]
        elif other != name:
            path.rename(self.input / f"{other}.pdf")
            files[other] = files.pop(name)

    def _touch(self, name: str, number: int) -> None:
        self._clock += 1
        os.utime(self.input / f"{name}.pdf", (self._clock, self._clock))
        self.model.files[name] = (number, self._clock)

    def run(self, wanted: Settings) -> Counter[tuple[int, int]]:
        """Run once; return the pages that the engine was asked for."""
        asked: Counter[tuple[int, int]] = Counter()
        choice = engine_choice(lambda sha256, page: asked.update([(self._numbers[sha256], page)]))
        values: dict[str, Any] = {
            "input": str(self.input),
            "output": str(self.output),
            "extraction": "receipt",
            "date_order": wanted.date_order,
            "tries": {"max_tries": wanted.max_tries},
            "output_files": {"shard_pages": wanted.shard_pages},
        }
        run(RunConfig.model_validate(values), engine=choice)
        return asked

    def rows(self) -> Output:
        """Return the output as it is."""
        return Output(self.output / "receipt")

    def current(self) -> dict[str, tuple[str, Row]]:
        """Return part and row that count for each file of the input that is a document."""
        newest: dict[str, tuple[str, Row]] = {}
        for part, rows in self.rows().documents.items():
            for row in rows:
                name = row["source_uri"].rpartition("/")[2].removesuffix(".pdf")
                if name not in newest or newest[name][1]["finished_at"] <= row["finished_at"]:
                    newest[name] = part, row
        return {name: found for name, found in newest.items() if name in self.model.files}

    def assert_current_rows_are_right(self) -> None:
        """Each file has one current document row with its content, and the pages that go with it."""
        output, current = self.rows(), self.current()
        assert current.keys() == self.model.files.keys()
        for name, (part, document) in current.items():
            number, _ = self.model.files[name]
            assert self._numbers[document["sha256"]] == number
            pages = [row for row in output.pages[part] if row["source_uri"] == document["source_uri"]]
            assert sorted(row["page_number"] for row in pages) == list(range(1, CONTENTS[number] + 1))
            assert [fault for row in pages if (fault := wrong_values(row, number))] == []


@pytest.fixture(scope="module", autouse=True)
def _one_renderer() -> Iterator[None]:
    """Let all runs share the render workers, whose start takes longer than these runs."""
    with pytest.MonkeyPatch.context() as patched, ExitStack() as parts:
        renderer = Renderer(RenderConfig(), num_workers=1)
        parts.callback(renderer.close)

        class Shared(Renderer):
            def __init__(self, *_: object, **__: object) -> None:
                self.__dict__ = renderer.__dict__

            def close(self) -> None:
                pass

        patched.setattr("pipeline.run.Renderer", Shared)
        yield


changes = st.tuples(
    st.sampled_from(["write", "write", "write", "touch", "delete", "rename"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(sorted(CONTENTS)),
)
runs = st.tuples(
    st.lists(changes, max_size=4),
    st.builds(
        Settings, st.sampled_from(["day-first", "month-first"]), st.sampled_from([2, 3]), st.sampled_from([1, 9])
    ),
)


def check_history(history: list[tuple[list[tuple[str, str, str, int]], Settings]]) -> None:
    """Hold real runs against the model."""
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patched:
        (Path(scratch) / "tmp").mkdir()
        patched.setattr(tempfile, "tempdir", f"{scratch}/tmp")
        world = World(Path(scratch))
        for happened, wanted in history:
            for change in happened:
                world.apply(change)
            before = {name: row["finished_at"] for name, (_, row) in world.current().items()}
            asked, pending = world.model.expect(wanted)
            assert world.run(wanted) == asked
            world.assert_current_rows_are_right()
            after = {name: row["finished_at"] for name, (_, row) in world.current().items()}
            assert {name for name, time in after.items() if before.get(name) != time} == pending


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(st.lists(runs, min_size=2, max_size=3))
def test_what_happens_between_runs_is_all_that_is_read(history: list[Any]) -> None:
    """Nothing is read again needlessly, and nothing that needs it is left out."""
    check_history(history)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(runs, min_size=2, max_size=5))
def test_long_histories_end_in_one_current_row_a_page(history: list[Any]) -> None:
    """The same with more of everything, settings that change to and fro included."""
    check_history(history)
