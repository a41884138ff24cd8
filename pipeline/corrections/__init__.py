"""What people said of values that were read: accepted, corrected, taken back. Stands beside the results.

    <extraction>/corrections/<session>-<number>.parquet

Each file belongs to one session of one reviewer, which alone writes it: whole, and anew when a row is added. So nothing
that a run writes is touched, no lease is needed, and several people may review at once, also while a run writes.

A correction is of the content: the document's sha256, the record's first page and the field's path. The same bytes
under another name are corrected by it too. It holds as long as the value that is read there is the one its maker saw
(or the one it was corrected to). When a document is read again with another value, it is outdated: the new reading
stands, and the record is to be reviewed. Of several corrections of one field the latest counts.
"""

from __future__ import annotations

from pipeline.corrections.applying import (
    WHOLE,
    Applied,
    Review,
    ReviewAction,
    apply,
    digest_of,
    is_covered,
    kind_at,
    open_reasons,
)
from pipeline.corrections.paths import get_value, leaves, parse_path, path_text, plain_path
from pipeline.corrections.store import Action, Correction, Corrections, CorrectionWriter
from pipeline.corrections.values import as_text, canonical, from_input, from_json, json_form, plain

__all__ = [
    "WHOLE",
    "Action",
    "Applied",
    "Correction",
    "CorrectionWriter",
    "Corrections",
    "Review",
    "ReviewAction",
    "apply",
    "as_text",
    "canonical",
    "digest_of",
    "from_input",
    "from_json",
    "get_value",
    "is_covered",
    "json_form",
    "kind_at",
    "leaves",
    "open_reasons",
    "parse_path",
    "path_text",
    "plain",
    "plain_path",
]
