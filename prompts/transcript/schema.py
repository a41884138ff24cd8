"""Transcript: all text of a page in reading order."""

from typing import ClassVar

from pydantic import BaseModel, Field


class Transcript(BaseModel):
    """The text of a page."""

    plain_text_field: ClassVar[str] = "text"
    # Twice and a half of the longest labelled page: 1,600 tokens, closely typewritten.
    max_output_tokens: ClassVar[int] = 4096

    text: str = Field("", description="All text of the page in reading order, lines separated by newlines.")
