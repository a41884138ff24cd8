"""Imports go downward only; what breaks this breaks the shape of the program."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("flows/**/*.py")])

LAYERS = (
    {"flows"},
    {"__main__"},
    {"cli"},
    {"running"},
    {"bench", "plan"},
    {"eval"},
    {"run"},
    {"review"},
    {"report"},
    {"export"},
    {"retry"},  # what was read, and how, for cli
    # Each wires a few stages for run.
    {"arrivals", "books", "documents", "drive", "forecast", "inbox", "metrics", "reuse", "settle"},
    {"settling"},
    {"doubts", "skip", "trust.reading"},
    {"planning"},
    # Stages, and what stands beside a run: they know the data, not each other.
    {
        *("source", "render", "feed", "extraction", "tries", "judge", "ledger", "sink", "stats", "tally"),
        *("identity", "corrections", "results", "show", "settings", "progress", "arguments"),
        *("admission", "canary", "catalog", "check", "journal", "failed", "quarantine", "ready", "scratch"),
        *("engines", "engines.ocr", "engines.vllm", "engines.scripted", "trust"),
    },
    {"storage", "workers", "engines.base", "capacity", "log", "signals", "merging", "outputs", "suspects"},
    {"reasons"},
    {"config", "data", "layout", "schema", "rules"},
    {"values", "errors", "selection", "toml"},
)

BETWEEN_STAGES = {
    ("engines", "engines.ocr"): "the factory opens what is asked for",
    ("engines", "engines.vllm"): "the same",
    ("judge", "extraction"): "judging an output is validating it against the extraction",
    ("judge", "tries"): "and choosing the next try",
    ("identity", "extraction"): "what is extracted decides what a record is",
    ("ledger", "journal"): "what is recorded outlives the process at once",
    ("ledger", "stats"): "documents and shards are counted as they are closed",
    ("failed", "results"): "what failed is read from the output",
    ("ledger", "extraction"): "a document's record is merged by the extraction's rules",
    ("catalog", "sink"): "the catalog holds what sink has committed",
    ("results", "corrections"): "what people corrected counts",
    ("results", "extraction"): "rules are held against what people corrected",
    ("results", "sink"): "what a column of an older part would hold, the sink knows",
    ("show", "results"): "show prints what results reads",
    ("show", "stats"): "hour rows are added up by their own rules",
    ("progress", "tally"): "progress prints what tally counts",
    ("admission", "tally"): "how many pages can be read in time, the run's tally tells",
    ("source", "ready"): "listing passes over what is not whole",
}


class Owner(NamedTuple):
    """Who may import a library, and where in a module."""

    units: frozenset[str]
    in_functions_only: bool = False


def _owned_by(*units: str, in_functions_only: bool = False) -> Owner:
    return Owner(frozenset(units), in_functions_only)


LIBRARIES = {
    "prefect": _owned_by("flows"),
    "vllm": _owned_by("engines.vllm", in_functions_only=True),
    "torch": _owned_by("engines.vllm", in_functions_only=True),
    "transformers": _owned_by("engines.vllm", in_functions_only=True),
    "rapidocr": _owned_by("engines.ocr", "bench", in_functions_only=True),
    "onnxruntime": _owned_by("engines.ocr", in_functions_only=True),
    "cv2": _owned_by("engines.ocr", "render", in_functions_only=True),
    "pymupdf": _owned_by("render", "bench", "eval"),
    "PIL": _owned_by("render", "engines.vllm", "bench"),
    "matplotlib": _owned_by("bench", "eval", in_functions_only=True),
    "tokenizers": _owned_by("bench", "engines.vllm", in_functions_only=True),
    "jinja2": _owned_by("report", "review", "eval", in_functions_only=True),
    "xlsxwriter": _owned_by("export", in_functions_only=True),
    "duckdb": _owned_by("results", "export", in_functions_only=True),
    "stdnum": _owned_by("rules", in_functions_only=True),
    "tenacity": _owned_by("storage"),
    "obstore": _owned_by("storage"),
    "rich": _owned_by("show", "progress"),
    "prometheus_client": _owned_by("metrics", "engines.vllm"),
    "boto3": _owned_by("storage", "flows", in_functions_only=True),
    "botocore": _owned_by("storage", "flows", in_functions_only=True),
}


class Import(NamedTuple):
    """One import statement of one module."""

    path: Path
    line: int
    module: str
    in_function: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def _imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    in_functions = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        for module in _modules(node):
            # A type may be named without loading a library; but our own layers hold for types too.
            if node not in typing_only or module.startswith("pipeline."):
                yield Import(path, node.lineno, module, node in in_functions)  # type: ignore[attr-defined]


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level:
        pytest.fail(f"line {node.lineno}: relative imports hide which layer is meant")
    if isinstance(node, ast.ImportFrom) and node.module in {"pipeline", "pipeline.engines"}:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _unit(module: str) -> str | None:
    """Return the unit of the layer table that a dotted name belongs to; None for the package's own attributes."""
    first, *rest = module.split(".")
    if first == "flows":
        return "flows"
    candidates = (".".join(rest[:2]), rest[0] if rest else "")
    return next((unit for unit in candidates if any(unit in layer for layer in LAYERS)), None)


def _unit_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return _unit(".".join(part for part in parts if part != "__init__")) or ""


def _rank(unit: str) -> int:
    return next(rank for rank, layer in enumerate(LAYERS) if unit in layer)


ALL_IMPORTS = [found for path in SOURCES for found in _imports(path)]


def test_every_module_has_a_layer() -> None:
    """A module outside the table would be free to import anything."""
    homeless = [path for path in SOURCES if not _unit_of(path) and path != ROOT / "pipeline" / "__init__.py"]
    assert homeless == []


def test_imports_go_downward_only() -> None:
    """Upward and sideways imports tie parts together that are meant to be replaced alone."""
    offences = []
    for found in ALL_IMPORTS:
        importer, imported = _unit_of(found.path), _unit(found.module)
        if not found.module.startswith("pipeline.") or not importer or not imported or importer == imported:
            continue
        if _rank(importer) >= _rank(imported) and (importer, imported) not in BETWEEN_STAGES:
            offences.append(str(found))
    assert offences == []


def test_every_exception_is_in_use() -> None:
    """An exception nobody needs any more would let the next one in unseen."""
    used = {(_unit_of(found.path), _unit(found.module)) for found in ALL_IMPORTS}
    assert set(BETWEEN_STAGES) - used == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_by_its_owner_only(library: str) -> None:
    """One adapter per library: it can be replaced, and `pagemill --help` does not load it."""
    owner = LIBRARIES[library]
    found = [one for one in ALL_IMPORTS if one.module.split(".")[0] == library]
    misplaced = [str(one) for one in found if _unit_of(one.path) not in owner.units]
    too_early = [str(one) for one in found if owner.in_functions_only and not one.in_function]
    assert (misplaced, too_early) == ([], [])
