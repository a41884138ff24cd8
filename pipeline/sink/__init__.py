"""Records -> Parquet parts, and what of them is committed. Does not know where records come from."""

from pipeline.sink.committed import CommittedDocument, committed_documents, committed_parts, read_committed
from pipeline.sink.tables import document_schema, page_schema
from pipeline.sink.types import arrow_type
from pipeline.sink.writer import ShardWriter

__all__ = [
    "CommittedDocument",
    "ShardWriter",
    "arrow_type",
    "committed_documents",
    "committed_parts",
    "document_schema",
    "page_schema",
    "read_committed",
]
