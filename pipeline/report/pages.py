"""Views -> HTML. Templates escape everything; scripts and styles are ours alone, and each page says so (CSP)."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report.crops import crop_of
from pipeline.report.views import ImageView
from pipeline.report.words import label_of, reasons_told, rule_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipeline.report.views import DocumentView

TEMPLATES = Path(__file__).parent / "templates"
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160))}
"""Control characters are shown as what they are; HTML allows few of them."""
_UNSEEN |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""So are those that turn the direction of what follows: "gpj.exe" must not read "exe.jpg"."""


_EXACT = 1e-6
"""0.29 * 100 is a little less than 29."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where a page's links lead; relative ones, so that a report works wherever it lies."""

    home: str
    root: str
    """Of the report, "/" at its end or empty: images and assets are below it."""
    previous: str | None = None
    next: str | None = None
    position: str = ""
    """ "3 of 60"."""


@dataclass(frozen=True, slots=True)
class Editing:
    """What the review server adds to a document view: its own script and style, and controls.html beside each value."""

    token: str
    script: str
    style: str


class Pages:
    """Templates, loaded once."""

    def __init__(self, *folders: Path) -> None:
        """Find the templates.

        Args:
            folders: looked at before the report's own.
        """
        import jinja2

        self._environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
            finalize=_visible,
            auto_reload=False,
        )
        self._environment.filters |= {"n": _number, "percent": _percent, "utc": _utc, "day": _day, "crop": crop_of}
        self._environment.filters |= {"label": label_of, "rule": rule_words, "reasons": reasons_told}
        self._environment.tests["image"] = lambda value: isinstance(value, ImageView)

    @cached_property
    def css(self) -> str:
        """The style of every page."""
        return (TEMPLATES / "report.css").read_text("utf-8")

    @cached_property
    def js(self) -> str:
        """The script of every page."""
        return (TEMPLATES / "report.js").read_text("utf-8")

    @cached_property
    def assets(self) -> dict[str, bytes]:
        """The files that pages other than the index link to, by key; their names change with their content."""
        return {self._asset("css"): self.css.encode(), self._asset("js"): self.js.encode()}

    def render(self, template: str, links: Links, *, inline: bool = False, **values: Any) -> bytes:
        """Return a page as UTF-8; what is no Unicode in it is replaced.

        Args:
            inline: whether it holds its style and script itself.
        """
        common = {"links": links, "inline": inline, "css": self.css, "js": self.js, "csp": self._policy(inline=inline)}
        common |= {"css_href": links.root + self._asset("css"), "js_href": links.root + self._asset("js")}
        text = self._environment.get_template(template).render(**common, **values)
        return text.encode("utf-8", "replace")

    def document(self, view: DocumentView, links: Links, editing: Editing | None = None) -> bytes:
        """Return a document's page."""
        return self.render("document.html", links, view=view, editing=editing)

    def _policy(self, *, inline: bool) -> str:
        # `self` is not what a page of file:// comes from; a page from a server gets nothing by way of file:.
        here = "'self' file:"
        script, style = (f" '{_digest(text)}'" if inline else "" for text in (self.js, self.css))
        return (
            f"default-src 'none'; img-src {here} data:; style-src {here}{style}; script-src {here}{script}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'"
        )

    def _asset(self, kind: str) -> str:
        text = self.css if kind == "css" else self.js
        return f"assets/report-{hashlib.sha256(text.encode()).hexdigest()[:10]}.{kind}"


def script_data(name: str, rows: Sequence[Sequence[Any]] | Mapping[str, Any]) -> bytes:
    """Return a script that sets a property of `window`; file:// has no other way to load data when it is asked for."""
    text = json.dumps(rows, ensure_ascii=True, separators=(",", ":"))
    # What ends a script or begins a comment in HTML must not stand in it, wherever it is put.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f"window[{json.dumps(name)}]={safe};\n".encode()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _visible(value: Any) -> Any:
    """Make control characters visible in what a template prints; markup of ours has none."""
    if type(value) is str:
        return value.translate(_UNSEEN)
    return "" if value is None else value


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    """Return a share, rounded down: what is below 90 % must not read 90 %."""
    if share is None:
        return ""
    return "> 99 %" if 0.99 < share < 1 else f"{math.floor(share * 100 + _EXACT)} %"


def _utc(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def _day(time: datetime | None) -> str:
    return "" if time is None else f"{time:%a %d %b, %H:%M}"
