"""The documents that were read worst, as one page of HTML with pictures: what is labelled beside what was read.

Self-contained: no script, nothing is fetched. Each page image stands in it once; cut-outs are views of it.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import RenderConfig
from pipeline.data import Box, DocumentRef, TextLine
from pipeline.errors import ConfigError, PipelineError
from pipeline.eval.equality import value_at
from pipeline.eval.readings import page_rows
from pipeline.extraction import load_extraction
from pipeline.render import PIXELS_ONLY, Renderer
from pipeline.render.jobs import RenderPage
from pipeline.report.crops import Crop, crop_of
from pipeline.report.images import Shot
from pipeline.report.views import ImageView
from pipeline.trust.evidence import find_evidence

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.data import Document, FieldEvidence, Json
    from pipeline.eval.labels import Dataset, Labelled
    from pipeline.eval.scoring import DocumentScore, ScoredValue
    from pipeline.extraction import Extraction

LONGEST_PX = 1400
"""Of the longer side of a page image."""
MOST_PAGES = 3
"""Of a document whose images are shown."""
_PAGE_COLUMNS = ("page_number", "status", "width_px", "height_px", "rotation_deg", "full_pixels", "tries", "lines")
_RENDERERS = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and the cut-out around it."""

    page_number: int
    box: Box
    crop: Crop


@dataclass(frozen=True, slots=True)
class WrongValue:
    """A value that is wrong, missing or invented."""

    field: str
    expected: str | None
    read: str | None
    verdict: str | None
    confidence: float | None
    expected_at: Place | None
    """Where the page shows what is labelled."""
    read_at: Place | None
    """Where what was read stands."""


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page image, in the pixels that boxes count in."""

    page_number: int
    width_px: int
    height_px: int
    data: str
    """URI."""


@dataclass(slots=True)
class WorstDocument:
    """A document as it is shown."""

    score: DocumentScore
    values: list[WrongValue] = field(default_factory=list)
    pages: list[PagePicture] = field(default_factory=list)
    problem: str | None = None
    """Why there is no picture."""


def write_worst(
    file: Path, dataset: Dataset, scores: Sequence[DocumentScore], *, output: str, config: RunConfig, most: int
) -> None:
    """Write the documents with most wrong values, then those with most wrong characters, to an HTML file.

    Raises:
        ConfigError: the file cannot be written.
        StorageError: the output cannot be read.
    """
    import jinja2

    labels = {one.name: one for one in dataset.documents}
    chosen = worst(scores)[:most]
    extractions = {score.extraction: load_extraction(score.extraction, config.prompts) for score in chosen}
    rows = {
        name: _rows(output, found.name, [score for score in chosen if score.extraction == name])
        for name, found in extractions.items()
    }
    with closing(Renderer(RenderConfig(), num_workers=_RENDERERS)) as renderer:
        shown = [
            _Shown(
                labels[score.id], score, extractions[score.extraction], rows[score.extraction].get(score.uri or "", [])
            ).document(renderer)
            for score in chosen
        ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("worst.html").render(documents=shown, scored=len(scores))
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error


def worst(scores: Sequence[DocumentScore]) -> list[DocumentScore]:
    """Return the documents of which anything is wrong, the worst first."""
    flawed = [score for score in scores if _wrong(score) or (score.text and score.text.character_errors)]
    return sorted(flawed, key=lambda score: (-len(_wrong(score)), -(score.text.cer if score.text else 0), score.id))


def _rows(output: str, extraction: str, scores: Sequence[DocumentScore]) -> dict[str, list[Json]]:
    """Return the page rows of some documents by URI, in one pass."""
    uris = {score.uri for score in scores if score.uri}
    found: dict[str, list[Json]] = {}
    for row in page_rows(output, extraction, uris, _PAGE_COLUMNS):
        found.setdefault(row["source_uri"], []).append(row)
    return found


def _wrong(score: DocumentScore) -> list[ScoredValue]:
    return [value for value in score.values if value.is_known and not value.is_right]


class _Shown:
    """One document on its way into the page."""

    def __init__(self, label: Labelled, score: DocumentScore, extraction: Extraction, rows: Sequence[Json]) -> None:
        """Args: rows: of its pages."""
        self._label, self._score, self._model = label, score, extraction.model
        self._rows = {row["page_number"]: row for row in rows if row["page_number"]}
        self._shots = {number: Shot.of(row) for number, row in self._rows.items() if row["width_px"]}

    def document(self, renderer: Renderer) -> WorstDocument:
        """Return what is shown of it."""
        found = WorstDocument(self._score)
        expected = self._labelled_places()
        for value in _wrong(self._score):
            found.values.append(self._value(value, expected))
        places = [place for value in found.values for place in (value.expected_at, value.read_at) if place]
        wanted = sorted({place.page_number for place in places} or set(sorted(self._shots)[:1]))[:MOST_PAGES]
        try:
            found.pages = list(self._pictures(renderer, wanted))
        except PipelineError as error:
            found.problem = str(error)
        return found

    def _value(self, value: ScoredValue, expected: Mapping[str, FieldEvidence]) -> WrongValue:
        evidence = value.evidence
        return WrongValue(
            field=value.path or value.field,
            expected=value.expected,
            read=value.value,
            verdict=evidence.verdict if evidence else None,
            confidence=evidence.confidence if evidence else None,
            expected_at=self._place(expected.get(value.field)),
            read_at=self._place(evidence),
        )

    def _labelled_places(self) -> dict[str, FieldEvidence]:
        """Return where the pages show the labelled values of fields outside items."""
        wrong = {value.field for value in _wrong(self._score) if value.expected}
        record = {name: value_at(self._label.fields, name) for name in wrong if "." not in name}
        found: dict[str, FieldEvidence] = {}
        for number, row in sorted(self._rows.items()):
            for evidence in find_evidence(record, self._model, _lines(row), page_number=number):
                if evidence.box is not None:
                    found.setdefault(evidence.path, evidence)
        return found

    def _place(self, evidence: FieldEvidence | None) -> Place | None:
        if evidence is None or evidence.box is None or evidence.page_number not in self._shots:
            return None
        shot = self._shots[evidence.page_number]
        box = shot.upright(evidence.box)
        return Place(evidence.page_number, box, crop_of(box, ImageView("", *_size(shot))))

    def _pictures(self, renderer: Renderer, numbers: Sequence[int]) -> Iterator[PagePicture]:
        path = self._label.path.resolve()
        document = renderer.open(DocumentRef(path.as_uri(), path.stat().st_size, None), path).result()
        for number in numbers:
            yield PagePicture(number, *_size(self._shots[number]), self._picture(renderer, document, path, number))

    def _picture(self, renderer: Renderer, document: Document, path: Path, number: int) -> str:
        shot = self._shots[number]
        page = RenderPage(document, path, number, shot.spec, PIXELS_ONLY)
        with tempfile.TemporaryDirectory(prefix="pagemill-eval-") as folder:
            target = Path(folder, "page.webp")
            renderer.preview(page, target, longest_px=LONGEST_PX, turn_deg=shot.turn_deg).result()
            return f"data:image/webp;base64,{base64.b64encode(target.read_bytes()).decode()}"


def _size(shot: Shot) -> tuple[int, int]:
    """Return width and height of a page's image, upright."""
    width, height = shot.width_px or 1, shot.height_px or 1
    return (height, width) if shot.turn_deg % 180 else (width, height)


def _lines(row: Json) -> list[TextLine]:
    def corner(line: Mapping[str, Any]) -> Box:
        return Box(line["x0"], line["y0"], line["x1"], line["y1"])

    return [TextLine(line["text"], corner(line), line["confidence"]) for line in row.get("lines") or ()]
