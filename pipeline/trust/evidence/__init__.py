"""Where each value of a record stands on its page, and how far the page's own text agrees with it.

Knows nothing of engines: text comes as lines, from a text layer or from recognition.
"""

from pipeline.trust.evidence.finding import find_evidence
from pipeline.trust.evidence.text import PageText

__all__ = ["PageText", "find_evidence"]
