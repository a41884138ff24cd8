"""Fuzzing of what hostile files and models can reach: rendering, validation, and the columns behind them.

    python -m tests.faults.fuzz --seconds 60 --seed 1
    python -m tests.faults.fuzz --seconds 300 --seed 1 --corpus ../shared/data/hostile

Files of the corpus are mutated and rendered, outputs of a model are mutated and validated. Whatever comes, it must
end as a document, an image or a record, or as an error of the type that is for it, in time. Exits with 1 when something
did not; inputs that did not, and those that cost a render worker its life, are saved.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pipeline.config import RenderConfig
from pipeline.data import Document, DocumentRef, PageImage, RenderSpec
from pipeline.errors import DocumentError, ErrorType, PageError, RenderError
from pipeline.render import Renderer

from .mutations import mutated
from .outputs import OutputFuzzer
from .workload import SOURCES, write_input

ROOT = Path(__file__).parent.parent.parent
CONFIG = RenderConfig(timeout_s=5, memory_limit_mb=1024, max_source_megapixels=20, max_file_mb=8)
SPEC = RenderSpec(100_000)
MOST_PAGES = 3
WORKERS = 2
IN_WORK = 8
GIVE_UP_S = 60.0
"""Both tries of a job, and those before it in the queue, are over long before."""
OUTPUTS_A_FILE = 4
"""Model outputs that are validated for each file that is rendered; one takes under a millisecond."""
Made = TypeVar("Made", Document, PageImage)
FATAL = {ErrorType.RENDER_CRASH, ErrorType.RENDER_TIMEOUT, ErrorType.TOO_LARGE}


@dataclass(slots=True)
class Findings:
    """What a campaign saw."""

    outcomes: Counter[str] = field(default_factory=Counter)
    files: int = 0
    outputs: int = 0
    faults: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0


def fuzz(corpus: list[bytes], saved: Path, *, seed: int, stop: Callable[[int], bool]) -> Findings:
    """Mutate, render and validate until `stop`, given the number of files so far, says so."""
    dice = random.Random(seed)
    findings = Findings()
    started = time.monotonic()
    outputs = OutputFuzzer(dice, saved)
    with tempfile.TemporaryDirectory() as folder, closing(Renderer(CONFIG, num_workers=WORKERS)) as renderer:
        waiting: deque[_Sample] = deque()
        while not stop(findings.files):
            path = Path(folder) / f"{findings.files}"
            path.write_bytes(mutated(dice, corpus))
            findings.files += 1
            waiting.append(_Sample(renderer, path))
            if len(waiting) >= IN_WORK:
                _finish(waiting.popleft(), findings, saved)
            for _ in range(OUTPUTS_A_FILE):
                outputs.try_one(findings.outcomes, findings.faults)
                findings.outputs += 1
        for sample in waiting:
            _finish(sample, findings, saved)
        _check_alive(renderer, findings)
    findings.elapsed_s = time.monotonic() - started
    return findings


class _Sample:
    """One file on its way through the renderer."""

    def __init__(self, renderer: Renderer, path: Path) -> None:
        self.path = path
        self._renderer = renderer
        self._opened = renderer.open(_ref(path), path)

    def outcomes(self) -> Iterator[tuple[str, str | None]]:
        """Yield (outcome, what is wrong with it) of opening and of each page."""
        document, outcome, fault = _outcome(self._opened, DocumentError)
        yield f"open: {outcome}", fault
        if document is None:
            return
        pages = range(1, min(document.num_pages, MOST_PAGES) + 1)
        for future in [self._renderer.render(document, self.path, number, SPEC) for number in pages]:
            image, outcome, fault = _outcome(future, RenderError)
            yield f"page: {outcome}", fault or (_image_fault(image) if image else None)


def _outcome(future: Future[Made], allowed: type[PageError]) -> tuple[Made | None, str, str | None]:
    try:
        return future.result(timeout=GIVE_UP_S), "ok", None
    except NotDone:
        return None, "hang", f"not done after {GIVE_UP_S:g} s"
    except PageError as error:
        return None, error.error_type, None if isinstance(error, allowed) else f"a {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return None, type(error).__name__, f"{type(error).__name__}: {error}"


def _image_fault(image: PageImage) -> str | None:
    fits = image.width_px * image.height_px <= SPEC.max_pixels and not image.width_px % 28 and not image.height_px % 28
    return None if fits and image.pixels.shape[2] == 3 else f"an image of {image.pixels.shape}"


def _finish(sample: _Sample, findings: Findings, saved: Path) -> None:
    content = sample.path.read_bytes()
    for outcome, fault in sample.outcomes():
        findings.outcomes[outcome] += 1
        kind = outcome.partition(": ")[2]
        if fault or kind in FATAL:
            kept = saved / f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}"
            kept.write_bytes(content)
            if fault:
                findings.faults.append(f"{outcome}: {fault} [{kept}]")
    sample.path.unlink()


def _check_alive(renderer: Renderer, findings: Findings) -> None:
    """A renderer that has seen all that must still read an honest file."""
    path = ROOT / "sample_docs" / "invoices" / "invoice-en.pdf"
    try:
        renderer.open(_ref(path), path).result(timeout=GIVE_UP_S)
    except Exception as error:  # noqa: BLE001 - any is a finding
        findings.faults.append(f"the renderer is dead afterwards: {type(error).__name__}: {error}")


def _ref(path: Path) -> DocumentRef:
    return DocumentRef(f"file://{path}", 0, None)


def read_corpus(folder: Path | None) -> list[bytes]:
    """Return the files below `folder`; by default those of the fault tests and of sample_docs."""
    if folder:
        return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    with tempfile.TemporaryDirectory() as scratch:
        write_input(Path(scratch) / "in")
        made = [(Path(scratch) / "in" / source.name).read_bytes() for source in SOURCES]
    samples = [path for path in sorted((ROOT / "sample_docs").rglob("*")) if path.suffix in {".pdf", ".png", ".jpg"}]
    return made + [path.read_bytes() for path in samples]


def main() -> int:
    """Fuzz for a time and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder of files to mutate")
    parser.add_argument("--saved", type=Path, default=Path(tempfile.gettempdir(), "pagemill-fuzz"))
    arguments = parser.parse_args()
    arguments.saved.mkdir(parents=True, exist_ok=True)
    over_at = time.monotonic() + arguments.seconds
    corpus = read_corpus(arguments.corpus)
    found = fuzz(corpus, arguments.saved, seed=arguments.seed, stop=lambda _: time.monotonic() > over_at)
    rate = found.files / found.elapsed_s
    print(f"{found.files} files ({rate:.1f}/s) and {found.outputs} outputs, from {len(corpus)} files")
    for outcome, times in sorted(found.outcomes.items()):
        print(f"  {outcome:<40} {times:>8}")
    print(f"{len(found.faults)} faults; inputs of note are in {arguments.saved}", *found.faults[:50], sep="\n")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
