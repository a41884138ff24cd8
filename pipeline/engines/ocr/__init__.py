"""The embedded CPU engine."""
