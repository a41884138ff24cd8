"""Real Chromium for tests of pages: what they show, what they ask for, and what they complain of."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.offsetParent) continue;
    if (element.closest("script, style, svg, .skip")) continue;
    const [x, y] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(x, y) + .05) / (Math.min(x, y) + .05);
    if (ratio < 4.5) found.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
"""Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3)."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a browser. By module, as its event loop would be in the way of other tests' own."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and not os.environ.get("PAGEMILL_REQUIRE_ALL"):
        pytest.skip("Chromium is not installed here. Debian, Ubuntu: sudo apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Seen:
    """A page, and what it did besides being shown."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, and dialogs."""
    asked: list[str] = field(default_factory=list)
    """URLs that it loaded."""

    def heard(self, message: ConsoleMessage) -> None:
        """Remember what the page complained of."""
        if message.type != "log":
            self.complaints.append(f"{message.text} {message.location['url']}")

    def dismiss(self, dialog: Dialog) -> None:
        """Close a dialog, and remember that there was one."""
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def eventually(self, expression: str, arg: object = None) -> None:
        """Wait until it holds; Playwright's own wait has the page evaluate it, which the pages' policy forbids."""
        for _ in range(200):
            if self.page.evaluate(expression, arg):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"Not within 10 s: {expression}")

    def overflow(self) -> list[str]:
        """Return what is wider than the window, outside of what scrolls by itself."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll("body *")]
            .filter((one) => !one.closest(".scroll, .plot, svg, .skip"))
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => `${one.tagName}.${one.className}`)"""
        )
        wide = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return [*found, *(["the page"] if wide else [])]

    def faint(self) -> list[str]:
        """Return texts that are hard to read, with their contrast."""
        found: list[str] = self.page.evaluate(CONTRAST)
        return found


@contextmanager
def seen(browser: Browser, url: str, **context: Any) -> Iterator[Seen]:
    """Open a page.

    Args:
        context: of the browser, such as `color_scheme` and `viewport`.
    """
    opened = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    result = Seen(opened.new_page())
    page = result.page
    page.on("console", result.heard)
    page.on("pageerror", lambda error: result.complaints.append(str(error)))
    page.on("dialog", result.dismiss)
    page.on("request", lambda request: result.asked.append(request.url))
    try:
        page.goto(url)
        yield result
    finally:
        opened.close()
