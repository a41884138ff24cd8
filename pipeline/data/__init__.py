"""The records that travel through the pipeline, in the order in which they travel.

DocumentRef -> Document -> PageImage -> PageRequest -> Generation -> (rows, see sink.py)

All but PageTask are frozen; all are picklable. Boxes are (x0, y0, x1, y1) in pixels of the page image they
belong to, origin at its top left. Page numbers are 1-based.
"""

from pipeline.data.documents import (
    Box,
    Document,
    DocumentRef,
    TextLayer,
    TextLine,
    Word,
    utc,
)
from pipeline.data.pages import (
    Attempt,
    EngineMetrics,
    FinishReason,
    Generation,
    ImageFacts,
    PageFacts,
    PageImage,
    PageKey,
    PageRequest,
    PageTask,
    RenderSpec,
    ShownImage,
    Supply,
    TrySettings,
)
from pipeline.data.records import (
    AnsweredBy,
    Breach,
    Conflict,
    DocumentRecord,
    FieldEvidence,
    Json,
    PageRecord,
    RecordPart,
    RunIdentity,
    Status,
    Verdict,
)

__all__ = [
    "AnsweredBy",
    "Attempt",
    "Box",
    "Breach",
    "Conflict",
    "Document",
    "DocumentRecord",
    "DocumentRef",
    "EngineMetrics",
    "FieldEvidence",
    "FinishReason",
    "Generation",
    "ImageFacts",
    "Json",
    "PageFacts",
    "PageImage",
    "PageKey",
    "PageRecord",
    "PageRequest",
    "PageTask",
    "RecordPart",
    "RenderSpec",
    "RunIdentity",
    "ShownImage",
    "Status",
    "Supply",
    "TextLayer",
    "TextLine",
    "TrySettings",
    "Verdict",
    "Word",
    "utc",
]
