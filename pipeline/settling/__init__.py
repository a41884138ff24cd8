"""Between a page that was read and its row: its record is assessed, and may give it another try."""

from pipeline.settling.opening import open_settling, open_trust, page_facts
from pipeline.settling.settling import Settling

__all__ = ["Settling", "open_settling", "open_trust", "page_facts"]
