"""How much of a text was read: characters and words. Pure.

White space counts for nothing beyond parting words, and composed and decomposed letters are the same. Case counts only
where it is asked for: labels of receipts are often upper-case throughout, transcriptions are not.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

_WORD = re.compile(r"\w+")
_ILLEGIBLE = "⟦⟧"
"""How transcribers mark what nobody can read; it is no text."""


class TextScore(NamedTuple):
    """How a text was read, in sums that can be added up over documents."""

    character_errors: int
    """Edits (insert, delete, replace) that make the true text of the one that was read."""
    characters: int
    word_errors: int
    words: int
    bag: float
    """F1 score of the words that are in both texts, whatever their order: 0..1."""
    bag_alnum: float
    """The same of runs of letters and digits alone."""

    @property
    def cer(self) -> float:
        """Character error rate."""
        return self.character_errors / max(1, self.characters)

    @property
    def wer(self) -> float:
        """Word error rate."""
        return self.word_errors / max(1, self.words)


def score_text(read: str, truth: str, *, case_counts: bool) -> TextScore:
    """Return how a text was read."""
    ours, theirs = (text if case_counts else text.casefold() for text in map(plain, (read, truth)))
    our_words, their_words = ours.split(), theirs.split()
    return TextScore(
        Levenshtein.distance(ours, theirs),
        len(theirs),
        Levenshtein.distance(our_words, their_words),
        len(their_words),
        _bag(our_words, their_words),
        _bag(_WORD.findall(ours), _WORD.findall(theirs)),
    )


def character_errors(read: str, truth: str) -> tuple[int, int]:
    """Return the edit distance of two texts, and the length of the true one, white space and case made alike."""
    ours, theirs = folded(read), folded(truth)
    return Levenshtein.distance(ours, theirs), len(theirs)


def words_read(read: str, truth: str) -> float:
    """Return the F1 score of the words (letters and digits) that are in both texts, case made alike: 0..1."""
    return _bag(_WORD.findall(folded(read)), _WORD.findall(folded(truth)))


def plain(text: str) -> str:
    """Return a text in NFC, on one line, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).replace(_ILLEGIBLE, " ").split())


def folded(text: str) -> str:
    """Return a text as `plain` does, case made alike."""
    return plain(text).casefold()


def without_markup(text: str) -> str:
    """Drop what Markdown and HTML add to a text, so that it is not scored as text."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = html.unescape(re.sub(r"</?[a-zA-Z][^<>]*>", " ", text))
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(?m)^\s*\|?[\s:|\-]*-{3,}[\s:|\-]*$", " ", text)
    text = re.sub(r"(?m)^\s*(#{1,6}|[-*+]|>)\s+", "", text)
    text = re.sub(r"\\([\\`*_{}\[\]()#+.!-])", r"\1", text)
    return text.replace("|", " ").replace("**", "").replace("```", "")


def _bag(ours: list[str], theirs: list[str]) -> float:
    if not ours and not theirs:
        return 1.0
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))
