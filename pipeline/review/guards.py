"""What keeps strangers and other sites' pages away from the review server."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer: our pages run no script but ours, load nothing from elsewhere, and stand in no other page."""


@dataclass(frozen=True)
class Secrets:
    """What a browser must know."""

    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """In the address that is opened, and then in a cookie."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """In our pages; sent back with what changes something."""


def is_own_name(host: str, own_name: str, own_port: int) -> bool:
    """Tell whether a Host header is an address, localhost, or the name that the server was given, and its port."""
    name, port = _host_and_port(host)
    if port != own_port:
        return False
    if name in {"localhost", own_name.lower()}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_and_port(host: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "").rstrip("."), parts.port if parts.port is not None else 80
    except ValueError:
        return "", None
