"""Shows results: tables for people, one JSON object for programs. Reads through results.py only."""

from pipeline.show.machine import print_json
from pipeline.show.terminal import print_results

__all__ = ["print_json", "print_results"]
