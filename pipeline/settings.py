"""Where settings come from: defaults, then a TOML file, then PAGEMILL_* variables, then flags.

Each option is a field of `RunConfig`, and its key is the path to that field: `limit`,
`render.max_pixels`. In a file it is a TOML key, in the environment it is
PAGEMILL_RENDER_MAX_PIXELS, on the command line --set render.max_pixels=.... Values that
come as text are plain text; lists and tables are written as in TOML. An empty text means
the default. Relative paths count from the folder Pagemill is started in.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel, ValidationError

from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.toml import toml_value

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PREFIX = "PAGEMILL_"
CONFIG_VARIABLE = "PAGEMILL_CONFIG"
DEFAULT_FILE = Path("pagemill.toml")
NO_SETTINGS = frozenset({CONFIG_VARIABLE, "PAGEMILL_REQUIRE_ALL", "PAGEMILL_STORAGE_PATIENCE_S"})
"""Variables that look like settings: the file to read, what the test run is told, how long buckets are waited for."""
HIDDEN = "(hidden)"
UNSET = "not set"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value somebody asked for."""

    key: str
    value: Any
    """Typed when it comes from a file, else text."""
    source: str
    """As it is shown: a file, a variable, a flag."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The configuration that holds, and which source each key has its value from."""

    config: RunConfig
    origins: dict[str, str]


def load_config(
    flags: Iterable[Setting] = (),
    *,
    base: Iterable[Setting] = (),
    environ: Mapping[str, str],
    config_file: Path | None = None,
    complete: bool = True,
) -> Effective:
    """Return the configuration that holds.

    Args:
        base: used instead of the defaults; all other sources win over them.
        config_file: default: the file PAGEMILL_CONFIG names, else pagemill.toml here if there is one.
        complete: False admits a configuration without input and output.

    Raises:
        ConfigError: names the key, its value, where it came from and what is expected.
    """
    chosen = {setting.key: setting for setting in base}
    for setting in _all_settings(config_file, environ, flags):
        if setting.value == "":
            chosen.pop(setting.key, None)
        else:
            chosen[setting.key] = setting
    if not complete:
        for key in ("input", "output"):
            chosen.setdefault(key, Setting(key, "", UNSET))
    try:
        config = RunConfig.model_validate(_nested(chosen.values()))
    except ValidationError as error:
        raise ConfigError(_explain(error, chosen)) from None
    return Effective(config, {key: _origin(key, chosen) for key in options()})


def recorded_settings(text: str, source: str) -> Iterator[Setting]:
    """Yield the settings of a run as its output records them; see stats.settings_text.

    Those that this version does not know, and those left to their default, are passed over.
    """
    content = json.loads(text)
    for key in options():
        value: Any = content
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            yield Setting(key, value, source)


def options(model: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, FieldInfo]:
    """Return every option by its key, in the order in which they are defined."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found |= options(section, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def variable(key: str) -> str:
    """Return the environment variable of an option."""
    return PREFIX + key.replace(".", "_").upper()


def as_toml(effective: Effective) -> str:
    """Return the configuration as TOML with the source of each value; secrets are left out."""
    lines: list[str] = []
    section = ""
    for key, value in _values(effective.config).items():
        *parents, name = key.split(".")
        if parents and parents[0] != section:
            section = parents[0]
            lines += ["", f"[{section}]"]
        usable = value not in (None, HIDDEN, "")
        setting = (
            f"{name} = {toml_value(value)}" if usable else f"# {name} = {value if value == HIDDEN else ''}".rstrip()
        )
        lines.append(f"{setting:<44} # {effective.origins[key]}")
    return "\n".join(lines) + "\n"


def as_json(effective: Effective) -> str:
    """Return {key: {value, from}} as JSON; secrets are left out."""
    values = _values(effective.config)
    return json.dumps({key: {"value": values[key], "from": effective.origins[key]} for key in values}, indent=2)


def reference_table() -> str:
    """Return every option with its variable, default and meaning, as the Markdown of docs/configuration.md."""
    lines = ["| Key | Variable | Default | Meaning |", "| --- | --- | --- | --- |"]
    for key, field in options().items():
        required = field.is_required()
        default = "" if required else toml_value(_plain(field.get_default(call_default_factory=True)))
        shown = f"`{default}`" if default else "required" if required else ""
        lines.append(f"| `{key}` | `{variable(key)}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


def _all_settings(file: Path | None, environ: Mapping[str, str], flags: Iterable[Setting]) -> Iterator[Setting]:
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    if file is not None or DEFAULT_FILE.is_file():
        yield from _from_file(file or DEFAULT_FILE)
    for setting in (*_from_environment(environ), *flags):
        yield from _from_text(setting)


def _from_file(path: Path) -> Iterator[Setting]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} is not valid TOML: {error}.") from None
    return _flat(content, "", str(path))


def _from_environment(environ: Mapping[str, str]) -> Iterator[Setting]:
    keys = {variable(key): key for key in options()}
    for name in sorted(environ):
        if name in keys:
            yield Setting(keys[name], environ[name], name)
        elif name.startswith(PREFIX) and name not in NO_SETTINGS:
            raise ConfigError(f"The environment variable {name} is no setting.{_suggestion(name, keys)}")


def _from_text(setting: Setting) -> Iterator[Setting]:
    """Yield what a text means for its option: itself, a list, or the entries of a table."""
    field = _option(setting.key, setting.source)
    kind = get_origin(field.annotation)
    text = setting.value
    if not isinstance(text, str) or not text or kind not in (tuple, dict):
        yield setting
    elif setting.key not in options():  # an entry of a table
        yield Setting(setting.key, _toml_value(text, default=text), setting.source)
    elif kind is tuple:
        yield Setting(setting.key, _toml_value(text, default=[text]) if text[0] == "[" else [text], setting.source)
    else:
        yield from _flat(_toml_value(text, default=text), setting.key, setting.source)


def _flat(value: Any, key: str, source: str) -> Iterator[Setting]:
    """Yield the settings that nested tables hold."""
    known = options()
    sections = {option.split(".")[0] for option in known if "." in option}
    is_table = key in known and get_origin(known[key].annotation) is dict
    if isinstance(value, dict) and (not key or key in sections or is_table):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name, source)
    elif key in sections:
        raise ConfigError(f"{key} = {value!r} ({source}): {key} is a section; its options are set one by one.")
    else:
        _option(key, source)
        yield Setting(key, value, source)


def _option(key: str, source: str) -> FieldInfo:
    """Return the option a key belongs to: its own, or the table in which it is an entry, at whatever depth."""
    known = options()
    if key in known:
        return known[key]
    for table, field in known.items():
        if key.startswith(f"{table}.") and get_origin(field.annotation) is dict:
            return field
    raise ConfigError(f"There is no setting {key!r} ({source}).{_suggestion(key, known)}")


def _suggestion(name: str, known: Iterable[str]) -> str:
    last = {key.rpartition(".")[2]: key for key in known}
    close = difflib.get_close_matches(name, known, n=1)
    close = close or [last[hit] for hit in difflib.get_close_matches(name.rpartition(".")[2], last, n=1)]
    return f" Did you mean {close[0]}?" if close else " `pagemill config` lists all settings."


def _toml_value(text: str, *, default: Any) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return default


def _nested(settings: Iterable[Setting]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for setting in settings:
        *parents, name = setting.key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = setting.value
    return tree


def _explain(error: ValidationError, chosen: Mapping[str, Setting]) -> str:
    return " ".join(dict.fromkeys(_problem(item["loc"], item["msg"], chosen) for item in error.errors()))


def _problem(loc: tuple[int | str, ...], message: str, chosen: Mapping[str, Setting]) -> str:
    path = [str(part) for part in loc]
    message = message.removeprefix("Value error, ")  # pydantic's, before what a validator of ours says
    while path and ".".join(path) not in chosen:
        path.pop()
    if not path:
        key = ".".join(str(part) for part in loc)
        if key not in options():  # settings of a section that do not fit together
            return f"{message}."
        return f"{key} is not set; give it on the command line, in pagemill.toml or as {variable(key)}."
    setting = chosen[".".join(path)]
    value = HIDDEN if _is_secret(_option(setting.key, setting.source)) else repr(setting.value)
    return f"{setting.key} = {value} ({setting.source}): {message[:1].lower()}{message[1:]}."


def _is_secret(field: FieldInfo) -> bool:
    return "Secret" in str(field.annotation)


def _origin(key: str, chosen: Mapping[str, Setting]) -> str:
    sources = [setting.source for name, setting in chosen.items() if name == key or name.startswith(f"{key}.")]
    return ", ".join(dict.fromkeys(sources)) or "default"


def _values(config: RunConfig) -> dict[str, Any]:
    """Return plain values by key, secrets hidden."""
    values: dict[str, Any] = {}
    for key, field in options().items():
        value: Any = config
        for name in key.split("."):
            value = getattr(value, name)
        values[key] = HIDDEN if _is_secret(field) and value else _plain(value)
    return values


def _plain(value: Any) -> Any:
    """Return what JSON and TOML can write."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, dict)) else str(value)
