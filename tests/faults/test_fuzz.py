"""A short piece of the fuzz target, always the same one; the long runs are by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.fuzz import fuzz, read_corpus


@pytest.mark.slow
def test_mutated_files_and_outputs_end_as_records_or_as_known_errors(tmp_path: Path) -> None:
    """Whatever bytes come, the renderer and the validation answer in their own terms, and go on."""
    found = fuzz(read_corpus(None), tmp_path, seed=1, stop=lambda files: files >= 150)
    assert found.faults == []
    assert found.outcomes["open: ok"] > 0
    assert found.outcomes["open: damaged"] > 0
    assert found.outcomes["output: valid"] > 0
