"""Values as TOML writes them; the standard library only reads TOML."""

from __future__ import annotations

import json
from datetime import date
from typing import Any


def toml_value(value: Any) -> str:
    """Return a value on one line, tables inline; empty for None, which TOML lacks."""
    match value:
        case None:
            return ""
        case dict():
            inner = ", ".join(f"{json.dumps(name)} = {toml_value(item)}" for name, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case date():
            return value.isoformat()
    return json.dumps(value, ensure_ascii=False)
