"""Pages written as text: two spaces or more part the runs, a character is ten pixels wide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline.data import Box, TextLine
from pipeline.engines.ocr.fields import fill_record
from pipeline.values import DateOrder

if TYPE_CHECKING:
    from pydantic import BaseModel

WIDTH_PX, HEIGHT_PX, LETTER_PX, ROW_PX, TEXT_PX = 1000, 1400, 10, 24, 18


def typed(page: str) -> list[TextLine]:
    """The lines of a page as an OCR engine returns them."""
    return [
        TextLine(run[0], Box(run.start() * LETTER_PX, row * ROW_PX, run.end() * LETTER_PX, row * ROW_PX + TEXT_PX))
        for row, text in enumerate(page.strip("\n").splitlines())
        for run in re.finditer(r"\S+(?: \S+)*", text)
    ]


def read(page: str, model: type[BaseModel], order: DateOrder = DateOrder.DAY_FIRST) -> dict[str, Any]:
    """The record of a typed page, validated by the model as every record is, in the form that JSON has."""
    record = fill_record(typed(page), WIDTH_PX, HEIGHT_PX, model, order)
    return model.model_validate(record).model_dump(mode="json")
