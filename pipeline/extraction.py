"""Extractions: load prompt and schema, validate outputs, merge the pages of a document.

An extraction is a folder `<name>/` with `prompt.md` (instructions for the model) and
`schema.py` (pydantic models, one of which is the record). Knows nothing of engines,
storage or rendering.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from pipeline.config import MAX_TOKENS
from pipeline.data import Json
from pipeline.errors import ConfigError, ErrorType, GenerationInvalid
from pipeline.merging import Frame, Limits, Merger, frame_of
from pipeline.outputs import drop_invalid, parse_cut_json, parse_json
from pipeline.values import DateOrder

log = logging.getLogger(__name__)

MAX_ITEMS = 200
"""Longest array of a constrained output where the schema sets no bound: an open one lets a model loop for ever."""

LEAST_TOKENS = 16
"""Of an output limit; `tries.max_tokens` has the same bound."""

SCOPES = ("page", "document")

HIDDEN = (".", "_")
"""How names begin that are never listed, neither as extractions nor in an output."""


@dataclass(frozen=True)
class Extraction:
    """One loaded extraction folder."""

    name: str
    folder: Path
    prompt: str
    model: type[BaseModel]
    prompt_sha256: str
    schema_sha256: str

    @cached_property
    def plain_text_field(self) -> str | None:
        """The field that takes the whole output as plain text, if the model's class variable of that name says so."""
        name = getattr(self.model, "plain_text_field", None)
        return name if isinstance(name, str) else None

    @cached_property
    def max_output_tokens(self) -> int:
        """Tokens in which the longest honest page fits, as the model's class variable of that name says."""
        tokens = getattr(self.model, "max_output_tokens", MAX_TOKENS)
        if not isinstance(tokens, int) or tokens < LEAST_TOKENS:
            raise ConfigError(f"{self.folder}: max_output_tokens must be a whole number of {LEAST_TOKENS} or more.")
        return tokens

    @cached_property
    def scope(self) -> str:
        """Whether a "page" or the pages of a "document" together are read, as the model's class variable says."""
        scope = getattr(self.model, "scope", "page")
        if scope not in SCOPES:
            raise ConfigError(f"{self.folder}: scope must be {' or '.join(map(repr, SCOPES))}, not {scope!r}.")
        return str(scope)

    @cached_property
    def json_schema(self) -> Json:
        """JSON schema for constrained output: closed objects, every property required, every array bounded."""
        schema = copy.deepcopy(self.model.model_json_schema())
        _close_objects(schema)
        return schema

    def validate(self, text: str, date_order: DateOrder = DateOrder.DAY_FIRST) -> Json:
        """Return the typed record that an output holds.

        Raises:
            GenerationInvalid: not JSON, or not of the schema; names the fields at fault.
        """
        if self.plain_text_field:
            return self._checked({self.plain_text_field: text.strip()}, date_order)
        return self._checked(parse_json(text), date_order)

    def salvage(self, text: str, date_order: DateOrder = DateOrder.DAY_FIRST) -> Json | None:
        """Return what is valid in an output that `validate` refuses: a cut-off one, or one with bad fields.

        Fields that are absent or invalid become None. None when nothing at all is usable.
        """
        if self.plain_text_field:
            return {self.plain_text_field: text.strip()} if text.strip() else None
        try:
            data = parse_cut_json(text)
        except ValueError:
            return None
        if not isinstance(data, dict):
            return None
        try:
            kept = drop_invalid(self._lenient_model, data, {"date_order": date_order})
        except Exception:  # a validator of the user's fails on what no try made valid
            log.exception("nothing can be salvaged: a validator of %s failed", self.name)
            return None
        return kept if any(map(_says_something, kept.values())) else None

    @cached_property
    def empty_record(self) -> Json | None:
        """The record of a page with nothing on it; None where the schema refuses that, or would say something."""
        try:
            record = self.validate("" if self.plain_text_field else "{}")
        except GenerationInvalid:
            return None
        return None if any(map(_says_something, record.values())) else record

    @cached_property
    def text_layer_suffices(self) -> bool:
        """Whether the text of born-digital pages is enough, as the model's class variable of that name says."""
        return getattr(self.model, "text_layer_suffices", False) is True

    @cached_property
    def needed_of_layers(self) -> tuple[str, ...]:
        """Fields that every document has: those of `text_layer_needs`, and those that the model requires."""
        required = (name for name, field in self.model.model_fields.items() if field.is_required())
        return (*getattr(self.model, "text_layer_needs", ()), *required)

    def is_sufficient(self, record: Json, *, is_whole: bool) -> bool:
        """Tell whether a record that was read from a text layer says anything, and all that it must.

        Args:
            is_whole: It is that of a whole document; each page of a longer one has something of it only.
        """
        needed = self.needed_of_layers if is_whole else ()
        return all(_says_something(record[name]) for name in needed) and any(map(_says_something, record.values()))

    def merger(self, limits: Limits, *, split: bool = True) -> Merger:
        """Return what makes one record, or several, from the records of a file's pages.

        Each field merges as its `Printed(merge=...)` says; `split` tells several apart as the model's `split_on` says.
        """
        return Merger(self._frame._replace(is_split=split), limits)

    @cached_property
    def _frame(self) -> Frame:
        return frame_of(self.model, self.plain_text_field, partial(self._checked, date_order=DateOrder.DAY_FIRST))

    def _checked(self, data: Any, date_order: DateOrder) -> Json:
        try:
            return self.model.model_validate(data, context={"date_order": date_order}).model_dump()
        except ValidationError as error:
            problems = "; ".join(f"{_where(item['loc'])}: {item['msg']}" for item in error.errors()[:5])
            reason = f"The output does not fit the schema: {problems}"
            raise GenerationInvalid(ErrorType.OUTPUT_INVALID, reason) from None
        except Exception as error:  # pydantic lets others than ValueError through from validators of the user's
            log.exception("a validator of %s failed", self.name)
            reason = f"A validator of the schema failed: {type(error).__name__}: {error}"
            raise GenerationInvalid(ErrorType.OUTPUT_INVALID, reason) from error

    @cached_property
    def _lenient_model(self) -> type[BaseModel]:
        """The same fields, none required."""
        fields: dict[str, Any] = {
            name: (field.rebuild_annotation() | None, None) for name, field in self.model.model_fields.items()
        }
        return create_model(f"Lenient{self.model.__name__}", **fields)


def load_extraction(name: str, folders: Iterable[Path] = ()) -> Extraction:
    """Load the extraction `name`: a folder of that name in `folders`, a shipped one, or a path to such a folder.

    Raises:
        ConfigError: not found, or its prompt or schema cannot be used; says what to change.
    """
    return _load(_find(name, [*folders, shipped_folder()]))


def list_extractions(folders: Iterable[Path] = ()) -> Iterator[Extraction]:
    """Yield every extraction found in `folders` and then the shipped ones; the first of a name wins."""
    seen: set[str] = set()
    for parent in [*folders, shipped_folder()]:
        for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
            if folder.name not in seen and _is_extraction(folder):
                seen.add(folder.name)
                yield _load(folder)


def load_model(schema_path: str) -> type[BaseModel]:
    """Return the record model of a schema.py; a picklable way for worker processes to get it.

    Raises:
        ConfigError: the file cannot be imported, or holds no single record model.
    """
    path = Path(schema_path)
    module = _import_file(path)
    own = [
        item
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, BaseModel) and item.__module__ == module.__name__
    ]
    nested = {used for model in own for used in _models_used(model)}
    roots = [model for model in own if model not in nested]
    aliased = [f"{model.__name__}.{name}" for model in own for name, field in model.model_fields.items() if field.alias]
    if aliased:
        raise ConfigError(
            f"{path}: fields must not have an alias, which would name a column twice: {', '.join(aliased)}."
        )
    if len(roots) != 1:
        found = ", ".join(model.__name__ for model in roots) or "none"
        raise ConfigError(f"{path} must define exactly one record model that no other model contains; found: {found}.")
    return roots[0]


def shipped_folder() -> Path:
    """Return the folder of the extractions that come with Pagemill (in a checkout, its `prompts/`)."""
    packaged = Path(__file__).parent / "_prompts"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "prompts"


def _find(name: str, parents: Sequence[Path]) -> Path:
    for folder in [*(parent / name for parent in parents), Path(name)]:
        if folder.is_dir():
            return folder
    known = ", ".join(sorted({child.name for parent in parents for child in parent.glob("*") if _is_extraction(child)}))
    raise ConfigError(f"There is no extraction {name!r}. Known: {known}; or give the path of a folder of your own.")


def _is_extraction(folder: Path) -> bool:
    return (folder / "schema.py").is_file() and not folder.name.startswith(HIDDEN)


def _load(folder: Path) -> Extraction:
    if folder.resolve().name.startswith(HIDDEN):
        raise ConfigError(f'{folder}: names that begin with "." or "_" are never listed; rename the folder.')
    prompt_path, schema_path = folder / "prompt.md", folder / "schema.py"
    for path in (prompt_path, schema_path):
        if not path.is_file():
            raise ConfigError(f"The extraction folder {folder} has no {path.name}.")
    prompt = prompt_path.read_text("utf-8")
    extraction = Extraction(
        name=folder.resolve().name,
        folder=folder,
        prompt=prompt.strip(),
        model=load_model(str(schema_path)),
        prompt_sha256=hashlib.sha256(prompt.encode()).hexdigest(),
        schema_sha256=hashlib.sha256(schema_path.read_bytes()).hexdigest(),
    )
    # A rule or limit that cannot work is found before anything is read.
    extraction._frame, extraction.max_output_tokens, extraction.scope  # noqa: B018, SLF001 - see above
    if unknown := set(extraction.needed_of_layers) - extraction.model.model_fields.keys():
        raise ConfigError(f"{schema_path}: text_layer_needs names fields that it lacks: {', '.join(sorted(unknown))}.")
    return extraction


def _says_something(value: Any) -> bool:
    return value not in (None, "", [], {}, (), set())


def _import_file(path: Path) -> ModuleType:
    # The name carries the path: two extractions may each have a schema.py, and pydantic
    # resolves annotations through sys.modules.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"pagemill_schema_{digest}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # any error in a user's file is theirs to fix, and is told whole
        raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _models_used(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    pending = [field.annotation for field in model.model_fields.values()]
    while pending:
        annotation = pending.pop()
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            yield annotation
        pending.extend(getattr(annotation, "__args__", ()))


def _close_objects(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _close_objects(item)
    if not isinstance(node, dict):
        return
    node.pop("title", None)
    node.pop("default", None)
    if "properties" in node:
        node["required"] = list(node["properties"])
        node["additionalProperties"] = False
    if node.get("type") == "array":
        node.setdefault("maxItems", MAX_ITEMS)
    for key, value in node.items():
        # Under these two keys stand names the user chose, "title" and "default" among them.
        _close_objects(list(value.values()) if key in {"properties", "$defs"} else value)


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "record"
