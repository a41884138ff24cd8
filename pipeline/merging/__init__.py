"""Records of a file's pages -> its records, however many pages it has and in whatever order they come.

    PageNotes -> Splitter -> Draft (a Slot for each field) -> RecordPart

Knows nothing of prompts and engines; what makes a record valid is the extraction's.
"""

from pipeline.merging.draft import Frame, frame_of
from pipeline.merging.merger import Limits, Merged, Merger
from pipeline.merging.slots import PAGE_BREAK

__all__ = ["PAGE_BREAK", "Frame", "Limits", "Merged", "Merger", "frame_of"]
