"""What a model wrote -> JSON, and what of it a schema takes. Knows nothing of prompts and pages."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from pipeline.data import Json
from pipeline.errors import ErrorType, GenerationInvalid


def parse_json(text: str) -> Any:
    """Return the JSON of an output, with or without the fences and remarks that unconstrained models put around it."""
    try:
        return from_json(_utf8(text))
    except ValueError:
        pass
    try:
        return json.JSONDecoder().raw_decode(_json_part(text))[0]
    except (ValueError, RecursionError) as error:
        raise GenerationInvalid(ErrorType.OUTPUT_INVALID, f"The output is not JSON: {error}") from None


def parse_cut_json(text: str) -> Any:
    """Return what there is of the JSON of an output that was cut off.

    Raises:
        ValueError: it is no JSON before the cut either.
    """
    return from_json(_utf8(_json_part(text)), allow_partial="trailing-strings")


def drop_invalid(model: type[BaseModel], data: Json, context: Json) -> Json:
    """Validate, taking out what is at fault: list items whole, other values by field."""
    while True:
        try:
            return model.model_validate(data, context=context).model_dump()
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            _remove(data, [fault["loc"] for fault in faults])


def _remove(data: Json, places: list[tuple[int | str, ...]]) -> None:
    items = {
        (str(place[0]), place[1])
        for place in places
        if len(place) > 1 and isinstance(place[1], int) and isinstance(data[str(place[0])], list)
    }
    # All of them in one pass, last ones first: a pass for each takes minutes where a loop made thousands.
    for name, index in sorted(items, reverse=True):
        del data[name][index]
    for name in {str(place[0]) for place in places} - {name for name, _ in items}:
        del data[name]


def _json_part(text: str) -> str:
    """Drop what stands before the first brace, and a closing code fence."""
    # By string methods: a regular expression takes minutes for an output that is all spaces.
    return text[max(text.find("{"), 0) :].strip().removesuffix("```").strip()


def _utf8(text: str) -> bytes:
    """Encode for the parser, which takes no lone surrogates."""
    return text.encode("utf-8", "replace")
