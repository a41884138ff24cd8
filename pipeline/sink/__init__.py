"""Records -> Parquet parts, and what of them is committed. Does not know where records come from."""

from pipeline.sink.committed import CommittedDocument, committed_parts, read_committed
from pipeline.sink.reading import PartReader
from pipeline.sink.tables import document_schema, page_schema
from pipeline.sink.types import arrow_type
from pipeline.sink.writer import Committed, ShardWriter, delete_orphans

__all__ = [
    "Committed",
    "CommittedDocument",
    "PartReader",
    "ShardWriter",
    "arrow_type",
    "committed_parts",
    "delete_orphans",
    "document_schema",
    "page_schema",
    "read_committed",
]
