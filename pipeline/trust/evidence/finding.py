"""Holds a record against the text of its page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.data import FieldEvidence, Json, TextLine, Verdict
from pipeline.schema import Role
from pipeline.trust.evidence.answers import answers
from pipeline.trust.evidence.candidates import places_of, similar_places
from pipeline.trust.evidence.choice import Choice
from pipeline.trust.evidence.computed import beside, column_sum, days_after, follows
from pipeline.trust.evidence.fold import bare, fold
from pipeline.trust.evidence.items import Item, Items
from pipeline.trust.evidence.labels import Labels, Vocabulary
from pipeline.trust.evidence.leaves import Kind, Leaf, Spec, labels_of, leaves_of, spec_of
from pipeline.trust.evidence.place import Place
from pipeline.trust.evidence.stream import MIN_SIMILARITY, Stream
from pipeline.trust.evidence.text import PageText

if TYPE_CHECKING:
    from pydantic import BaseModel


def find_evidence(
    record: Json,
    model: type[BaseModel],
    lines: Sequence[TextLine] | PageText,
    *,
    page_number: int,
    plain_text_field: str | None = None,
) -> tuple[FieldEvidence, ...]:
    """Return where each value of a record stands on its page, in the record's order; nulls and blanks have none.

    Args:
        record: as validated; its JSON form is understood, too.
        lines: the page's text, with words where the source gives them; empty where nothing was read, which makes
            verdicts None. A PageText is indexed once for several records.
        plain_text_field: the field that holds all text of the page.
    """
    text = lines if isinstance(lines, PageText) else PageText(lines)
    leaves = list(leaves_of(record, model, plain_text_field))
    if text.is_empty:
        return tuple(FieldEvidence(leaf.path, page_number) for leaf in leaves)
    search = _Search(text, model, leaves)
    return tuple(search.evidence(leaf, page_number) for leaf in leaves)


@lru_cache(maxsize=64)
def _vocabulary(model: type[BaseModel]) -> Vocabulary:
    return Vocabulary(dict(labels_of(spec_of(model))))


class _Search:
    """The places of one record's values on one page."""

    def __init__(self, text: PageText, model: type[BaseModel], leaves: Sequence[Leaf]) -> None:
        self._text, self._leaves = text, leaves
        self._labels: Labels = text.labels(_vocabulary(model))
        self._values: dict[str, list[object]] = defaultdict(list)
        for leaf in leaves:
            self._values[leaf.spec.owner].append(leaf.value)
        self._roles = {leaf.spec.owner: leaf.spec.role for leaf in leaves}
        self._has_tax = any(leaf.spec.role is Role.TAX and leaf.value for leaf in leaves)
        self._lists = list(self._placed_lists())
        self._misplaced: set[str] = set()
        """Paths of values that the page shows, but as something else."""
        self.places: dict[str, Place] = {path: place for one in self._lists for path, place in one.chosen.items()}
        self._find_similar_in_items()
        self._choose_fields(spec_of(model))
        self._sums = self._column_sums()
        self._beside = beside(leaves, self.places)

    def evidence(self, leaf: Leaf, page_number: int) -> FieldEvidence:
        """Return what the page says of a value."""
        if leaf.kind is Kind.PLAIN_TEXT:
            return self._of_plain_text(leaf, page_number)
        place = self.places.get(leaf.path)
        if place is None:
            verdict, place = self._implied(leaf)
            if place is None:
                return FieldEvidence(leaf.path, page_number, verdict)
        similarity = None if place.verdict is Verdict.COMPUTED else place.similarity
        box, score = place.box(self._text.page), place.score(self._text.page)
        return FieldEvidence(leaf.path, page_number, place.verdict, place.text, box, similarity, score)

    def _placed_lists(self) -> Iterator[Items]:
        grouped: dict[str, list[Leaf]] = defaultdict(list)
        for leaf in self._leaves:
            if leaf.item:
                grouped[leaf.item[0]].append(leaf)
        for leaves in grouped.values():
            yield Items(self._text.page, self._labels, leaves, lambda leaf: places_of(self._text, leaf))

    def _find_similar_in_items(self) -> None:
        """Look for what is missing of an item only where the item stands."""
        for one in self._lists:
            for item in one.items:
                missing = [leaf for leaf in item.leaves if leaf.path not in self.places]
                self._misplaced.update(leaf.path for leaf in missing if one.is_misplaced(item, leaf))
                if missing:
                    self._look_around(item, missing)

    def _look_around(self, item: Item, missing: Sequence[Leaf]) -> None:
        first, last = item.first_row, item.last_row
        band = [piece for row in self._text.page.row_pieces[first : last + 1] for piece in row]
        stream = Stream(band) if any(leaf.kind is Kind.TEXT for leaf in missing) else None
        for leaf in missing:
            if leaf.kind is Kind.TEXT and stream:
                place = stream.similar(leaf.value)
            else:
                near = [place for place in similar_places(self._text, leaf) if first <= place.row <= last]
                place = near[0] if near else None
            if place:
                self.places[leaf.path] = place

    def _choose_fields(self, spec: Spec) -> None:
        kinds = dict(_kinds_of(spec))
        in_table = lambda row: any(one.is_in_table(row) for one in self._lists)  # noqa: E731
        choice = Choice(self._labels, len(self._text.page.rows), kinds, self._has_same_value, in_table)
        taken: list[Place] = []
        fields = [leaf for leaf in self._leaves if leaf.item is None and leaf.kind is not Kind.PLAIN_TEXT]
        for leaf, options in sorted(((leaf, self._options(leaf)) for leaf in fields), key=lambda one: len(one[1])):
            best = choice.best(leaf, options, taken)
            if best is None and choice.is_others(leaf, options):
                self._misplaced.add(leaf.path)
            elif best is None:
                best = choice.best(leaf, similar_places(self._text, leaf), taken)
            if best:
                self.places[leaf.path] = best.place
                taken.append(best.place)

    def _options(self, leaf: Leaf) -> list[Place]:
        if leaf.kind is Kind.YES_OR_NO:
            return answers(self._text, self._labels, leaf)
        return places_of(self._text, leaf)

    def _has_same_value(self, leaf: Leaf, owner: str) -> bool:
        """Whether a field has the same value and may have it: a sum without tax is not one with it."""
        if leaf.value not in self._values.get(owner, ()):
            return False
        nets = {Role.NET, Role.TAX} & {leaf.spec.role, self._roles.get(owner)}
        return not nets or not self._has_tax

    def _column_sums(self) -> list[Decimal]:
        """Return the sums of the items' columns of numbers that are shown whole."""
        columns: dict[tuple[str, str], list[Leaf]] = defaultdict(list)
        for leaf in self._leaves:
            if leaf.item and leaf.kind is Kind.NUMBER:
                columns[leaf.item[0], leaf.spec.owner].append(leaf)
        return [
            sum((leaf.number for leaf in column), Decimal(0))
            for column in columns.values()
            if all(leaf.path in self.places for leaf in column) and column[0].spec.role in {None, Role.LINE_TOTAL}
        ]

    def _implied(self, leaf: Leaf) -> tuple[Verdict, Place | None]:
        """Return whether a value that does not stand there follows from others, and where it does from one place."""
        if leaf.path in self._misplaced:
            place = self._implying(leaf) if self._is_rate_of_all(leaf) else None
            return (Verdict.COMPUTED if place else Verdict.NOT_FOUND), place
        if leaf.kind is Kind.NUMBER and follows(leaf, self._beside.get(leaf.path.rpartition(".")[0], ()), self._sums):
            return Verdict.COMPUTED, None
        if leaf.kind is Kind.YES_OR_NO and leaf.value is False and not self._labels.of(leaf.spec.owner):
            return Verdict.COMPUTED, None
        place = self._implying(leaf)
        return (Verdict.COMPUTED if place else Verdict.NOT_FOUND), place

    def _is_rate_of_all(self, leaf: Leaf) -> bool:
        """Whether a tax rate is one that is stated for all items, as in "plus 19 % VAT": no item has one of its own."""
        owner = leaf.spec.owner
        own = (other for other in self._leaves if other.spec.owner == owner and other.path in self.places)
        return leaf.spec.role is Role.TAX_RATE and not any(own)

    def _implying(self, leaf: Leaf) -> Place | None:
        match leaf.spec.role:
            case Role.TAX_RATE if leaf.kind is Kind.NUMBER:
                return next(iter(self._text.numbers.percentages(leaf.number)), None)
            case Role.TAX | Role.NET if leaf.kind is Kind.NUMBER:
                return column_sum(self._text, leaf.number)
            case Role.DUE_DATE if leaf.kind is Kind.DATE:
                starts = [
                    one for one in self._leaves if one.spec.role is Role.DOCUMENT_DATE and one.path in self.places
                ]
                return days_after(self._text, starts[0].value, leaf.value) if starts else None
            case _:
                return None

    def _of_plain_text(self, leaf: Leaf, page_number: int) -> FieldEvidence:
        """Compare all text with all text, word by word wherever it stands: nobody need know where a page is."""
        page = self._text.page
        similarity = _shared_words(leaf.value.split(), [piece.text for piece in page.in_line_order])
        verdict = Verdict.FUZZY if similarity >= MIN_SIMILARITY else Verdict.NOT_FOUND
        if bare(leaf.value) == "".join(piece.text for piece in page.in_line_order):
            verdict, similarity = Verdict.EXACT, 1.0
        elif fold(leaf.value) == self._text.by_line.text:
            verdict, similarity = Verdict.NORMALISED, 1.0
        score = page.score(range(len(page.lines)))
        return FieldEvidence(leaf.path, page_number, verdict, similarity=round(similarity, 4), score=score)


def _shared_words(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Return the share of words that two texts have in common, 0..1."""
    a, b = Counter(map(fold, ours)), Counter(map(fold, theirs))
    return 2 * (a & b).total() / max(a.total() + b.total(), 1)


def _kinds_of(spec: Spec) -> Iterator[tuple[str, Kind | None]]:
    for one in spec.fields.values():
        yield one.owner, one.kind
        yield from _kinds_of(one)
