"""Shows results: tables for people, one JSON object for programs. Reads through results.py only."""

from pipeline.show.failures import Failures, print_failures, print_failures_json, what_helps
from pipeline.show.machine import print_json
from pipeline.show.terminal import print_results

__all__ = ["Failures", "print_failures", "print_failures_json", "print_json", "print_results", "what_helps"]
