"""Pages on their way to the engine, as many as it takes."""

from __future__ import annotations

from pipeline.feed.page_feed import PageFeed

__all__ = ["PageFeed"]
