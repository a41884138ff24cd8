"""Records of schemas that changed over time, put into one column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.corrections import canonical, plain

if TYPE_CHECKING:
    from collections.abc import Sequence


def joined_type(types: Sequence[pa.DataType]) -> pa.DataType:
    """Return the type that takes records of all of these; text, for JSON, where no struct does."""
    if not types:
        return pa.struct([])
    try:
        tables = [pa.table({"record": pa.array([], kind)}) for kind in types]
        return pa.concat_tables(tables, promote_options="permissive").schema.field("record").type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def conform(table: pa.Table, kind: pa.DataType) -> pa.Table:
    """Return a table with its `record` as one of `kind`, which is a `joined_type` of its own."""
    place = table.schema.get_field_index("record")
    own = table.schema.field(place).type
    if own == kind:
        return table
    if pa.types.is_string(kind):
        rows = table["record"].to_pylist()
        column = pa.array([None if row is None else canonical(plain(row, own)) for row in rows], kind)
    else:
        empty = pa.table({"record": pa.array([], kind)})
        column = pa.concat_tables([empty, table.select(["record"])], promote_options="permissive")["record"]
    return table.set_column(place, "record", column)
