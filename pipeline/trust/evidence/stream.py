"""Finding texts in a page's words in one order: the very text, the same folded, or nearly the same.

A search costs what the text is long, not what the page is: exact ones run over one string, and similar ones
only where rare groups of letters of theirs stand.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from rapidfuzz.distance import Indel

from pipeline.data import Verdict
from pipeline.trust.evidence.fold import atoms, bare, fold, look_alike
from pipeline.trust.evidence.page import Piece
from pipeline.trust.evidence.place import Place, Span, spans_of

MAX_PLACES = 5000
"""Of one text; a word that stands there more often says nothing by its place."""

MAX_STARTS = 200
"""Places at which the first part of a broken text is tried."""

MIN_SIMILARITY = 0.8
"""Below, texts are different ones. Two misread letters in ten, or a lost word in five."""

MIN_SIMILAR_LENGTH = 5
"""Shorter texts have too many neighbours."""

GRAM, MAX_POSTINGS = 3, 60
"""Letters in a group, and how often one may stand on a page to be asked for."""

DIGITS_RULE = 0.4
"""Share of digits from which a text is a number or code, where one other digit makes another one."""


class Stream:
    """Words one after another, as one folded text."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._atoms: list[tuple[int, int, int]] = []
        """Piece, and the characters of it, of each atom."""
        self._starts: list[int] = []
        parts: list[str] = []
        position = 0
        for number, piece in enumerate(pieces):
            for atom in atoms(piece.text):
                self._atoms.append((number, atom.start, atom.end))
                self._starts.append(position)
                parts.append(atom.folded)
                position += len(atom.folded)
        self._ends = [*self._starts[1:], position]
        self.text = "".join(parts)

    def places(self, value: str) -> list[Place]:
        """Return where a text stands, letter by letter, in this order; at most MAX_PLACES."""
        folded, wanted = fold(value), bare(value)
        return [self._place(first, last, wanted) for first, last in self._matches(folded)] if folded else []

    def similar(self, value: str) -> Place | None:
        """Return where a text stands most nearly, if anywhere."""
        folded = fold(value)
        if len(folded) < MIN_SIMILAR_LENGTH:
            return None
        digits = sum(map(str.isdigit, folded))
        if digits >= DIGITS_RULE * len(folded):
            return self._look_alike(folded)
        best = max(self._windows(folded), default=None)
        if best is None or best[0] < MIN_SIMILARITY:
            return None
        similarity, first, last = best
        return Place(self.spans(first, last), Verdict.FUZZY, round(similarity, 4))

    def prefix(self, folded: str, near: int | None) -> tuple[int, int, int] | None:
        """Return the longest beginning of folded text that stands here as whole words.

        Returns:
            Its length and the first and last atom; of equal ones, that which begins nearest after atom `near`.
        """
        best: tuple[int, int, int, int] | None = None
        for at in self._grams.get(folded[:GRAM], ())[:MAX_STARTS]:
            first = bisect_left(self._starts, at)
            if first == len(self._starts) or self._starts[first] != at:
                continue
            length, last = 0, first
            while last < len(self._starts) and folded.startswith(word := self._word(last), length):
                length, last = length + len(word), last + 1
                if length == len(folded):
                    break
            rank = (length, -abs(first - near - 1) if near is not None else -first, first, last - 1)
            best = max(best or rank, rank)
        return (best[0], best[2], best[3]) if best and best[0] else None

    def _word(self, atom: int) -> str:
        return self.text[self._starts[atom] : self._ends[atom]]

    def _matches(self, folded: str, text: str | None = None) -> Iterator[tuple[int, int]]:
        """Yield the first and last atom of each place of whole atoms that spell `folded`; `text` is as long as ours."""
        text = self.text if text is None else text
        at, found = text.find(folded), 0
        while at >= 0 and found < MAX_PLACES:
            first = bisect_left(self._starts, at)
            last = bisect_left(self._ends, at + len(folded))
            whole = first < len(self._starts) and self._starts[first] == at
            if whole and self._ends[last] == at + len(folded):
                found += 1
                yield first, last
            at = text.find(folded, at + 1)

    def _place(self, first: int, last: int, wanted: str) -> Place:
        spans = self.spans(first, last)
        whole = "".join(span.piece.text for span in spans)
        exact = wanted in whole
        if exact:
            spans = _trimmed(spans, whole, wanted)
        glued = sum(_is_glued(span) for span in (spans[0], spans[-1])) / 2
        return Place(spans, Verdict.EXACT if exact else Verdict.NORMALISED, doubt=0.4 * glued)

    def spans(self, first: int, last: int) -> tuple[Span, ...]:
        """Return the words of atoms `first` to `last`."""
        (a, start, _), (b, _, end) = self._atoms[first], self._atoms[last]
        return spans_of(self._pieces[a : b + 1], start, end)

    def _look_alike(self, folded: str) -> Place | None:
        """Find a code of which only such letters differ as recognisers mistake for each other."""
        alike = look_alike(folded)
        for first, last in self._matches(alike, self._alike_text):
            found = self.text[self._starts[first] : self._ends[last]]
            wrong = sum(a != b for a, b in zip(folded, found, strict=True))
            return Place(self.spans(first, last), Verdict.FUZZY, round(1 - wrong / len(alike), 4))
        return None

    @cached_property
    def _alike_text(self) -> str:
        return look_alike(self.text)

    @cached_property
    def _grams(self) -> dict[str, list[int]]:
        grams: dict[str, list[int]] = defaultdict(list)
        for at in range(len(self.text) - GRAM + 1):
            grams[self.text[at : at + GRAM]].append(at)
        return grams

    def _windows(self, folded: str) -> Iterator[tuple[float, int, int]]:
        """Yield similarity, first and last atom of the likeliest places of a text."""
        votes: Counter[int] = Counter()
        for offset in range(len(folded) - GRAM + 1):
            postings = self._grams.get(folded[offset : offset + GRAM], ())
            for at in postings if len(postings) <= MAX_POSTINGS else ():
                votes[(at - offset) // 4] += 1
        seen = set()
        for bucket, _ in votes.most_common(4):
            window = self._fitted(folded, bucket * 4)
            if window and window not in seen:
                seen.add(window)
                text = self.text[self._starts[window[0]] : self._ends[window[1]]]
                yield similarity_of(folded, text), *window

    def _fitted(self, folded: str, at: int) -> tuple[int, int] | None:
        """Return the atoms from about `at` that are most like a text: ends are moved until it fits no better."""
        if not self._starts:
            return None
        first = max(bisect_right(self._starts, max(at, 0) + 2) - 1, 0)
        last = min(max(bisect_left(self._ends, at + len(folded) - 2), first), len(self._ends) - 1)
        best = (self._likeness(folded, first, last), first, last)
        for _ in range(6):
            _, a, b = best
            moved = [(a - 1, b), (a + 1, b), (a, b - 1), (a, b + 1)]
            options = [(self._likeness(folded, x, y), x, y) for x, y in moved if 0 <= x <= y < len(self._starts)]
            better = max(options, default=best)
            if better[0] <= best[0]:
                break
            best = better
        return best[1], best[2]

    def _likeness(self, folded: str, first: int, last: int) -> float:
        return Indel.normalized_similarity(folded, self.text[self._starts[first] : self._ends[last]])


def similarity_of(folded: str, found: str) -> float:
    """Return how alike two folded texts are, 0..1; a digit that differs counts three times a letter."""
    similarity = Indel.normalized_similarity(folded, found)
    ours, theirs = Counter(filter(str.isdigit, folded)), Counter(filter(str.isdigit, found))
    wrong = sum((ours - theirs).values()) + sum((theirs - ours).values())
    return max(0.0, similarity - 2 * wrong / max(len(folded) + len(found), 1))


def _trimmed(spans: tuple[Span, ...], whole: str, wanted: str) -> tuple[Span, ...]:
    """Return the spans with the punctuation at both ends that the value has, and no more."""
    start = whole.index(wanted)
    end = start + len(wanted)
    last = spans[-1].piece.text
    first = Span(spans[0].piece, start, min(end, len(spans[0].piece.text)))
    if len(spans) == 1:
        return (first,)
    return (first, *spans[1:-1], Span(spans[-1].piece, 0, end - (len(whole) - len(last))))


def _is_glued(span: Span) -> bool:
    """Whether letters or digits go on without a space or mark beside it."""
    text = span.piece.text
    return text[span.start - 1 : span.start].isalnum() or text[span.end : span.end + 1].isalnum()
