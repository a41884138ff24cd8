"""What `pagemill retry` chooses: the pages, and the settings they were read with."""

import dataclasses
from pathlib import Path

import pytest
from made_records import NOON, commit, document, failed_page, identity, ok_page, unopened

from pipeline.config import RenderConfig, RunConfig, TriesConfig
from pipeline.errors import ConfigError, ErrorType
from pipeline.retry import choose_failed
from pipeline.settings import Setting, load_config
from pipeline.stats import RunRow, write_run
from pipeline.storage import open_storage

CONFIG = RunConfig(
    input="/in",
    output="/elsewhere",
    extraction="my/bill",
    limit=3,
    force=True,
    tries=TriesConfig(max_tokens=512),
    render=RenderConfig(passwords=("secret",)),  # type: ignore[arg-type]
)


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Two runs of extraction "bill"; of the second one the settings are those of CONFIG."""
    folder = str(tmp_path / "out")
    storage = open_storage(folder)
    commit(storage, "1", (failed_page(document("a.pdf")),), (unopened("b.pdf"),))
    for number, config in enumerate((RunConfig(input="/old", output=folder), CONFIG)):
        run = identity(run_id=f"run-{number}", engine="ocr")
        row = dataclasses.replace(RunRow.begun(run, config), started_at=NOON.replace(hour=number))
        write_run(storage, row)
    return folder


def test_all_failures_are_chosen_unless_reasons_are_given(output: str) -> None:
    """The usual wish is: again, please."""
    assert choose_failed(output, None, ()).counts == {"encrypted": 1, "output_cut_off": 1}
    assert choose_failed(output, "bill", [ErrorType.ENCRYPTED]).counts == {"encrypted": 1}


def test_the_settings_are_those_of_the_latest_run_and_what_is_given_now_wins(output: str) -> None:
    """Whoever retries with one more password wants nothing else changed."""
    failed = choose_failed(output, None, ())
    assert failed.run_id == "run-1"
    flags = [Setting("output", output, "OUTPUT"), Setting("tries.max_tokens", "4096", "--set")]
    effective = load_config(flags, base=failed.settings, environ={"PAGEMILL_OCR_WORKERS": "2"})
    config = effective.config
    assert (config.input, config.extraction, config.output) == ("/in", "my/bill", output)
    assert (config.tries.max_tokens, config.ocr.workers) == (4096, 2)
    assert (effective.origins["input"], effective.origins["tries.max_tokens"]) == ("run run-1", "--set")


def test_what_chose_the_documents_of_a_run_is_not_repeated(output: str) -> None:
    """The failed pages are chosen already; and secrets are in no output."""
    keys = {setting.key for setting in choose_failed(output, None, ()).settings}
    assert keys & {"output", "limit", "force", "since", "sample", "render.passwords"} == set()


def test_the_engine_is_the_one_that_read(output: str) -> None:
    """On a machine with a GPU, auto would be another one."""
    config = load_config(base=choose_failed(output, None, ()).settings, environ={}, complete=False).config
    assert config.engine == "ocr"


def test_a_reason_that_no_page_failed_with_names_those_there_are(output: str) -> None:
    """A typing error must not look like success."""
    with pytest.raises(ConfigError, match=r"No page failed with no_pages; there is encrypted \(1\), output_cut_off"):
        choose_failed(output, None, [ErrorType.NO_PAGES])


def test_failures_of_two_extractions_must_be_told_apart(output: str) -> None:
    """Their settings differ."""
    commit(open_storage(output), "1", (failed_page(document("a.pdf")),), run=identity(extraction="note"))
    with pytest.raises(ConfigError, match="--extraction bill or note"):
        choose_failed(output, None, ())
    assert choose_failed(output, "note", ()).extraction == "note"


def test_an_output_without_failures_has_nothing_to_choose(tmp_path: Path) -> None:
    """That is no error."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document()),))
    assert choose_failed(str(tmp_path), None, ()).counts == {}


def test_an_output_that_does_not_say_with_which_settings_still_names_the_extraction(tmp_path: Path) -> None:
    """Older versions wrote no runs."""
    commit(open_storage(str(tmp_path)), "1", (failed_page(document()),))
    failed = choose_failed(str(tmp_path), None, ())
    assert (failed.run_id, failed.settings) == (None, (Setting("extraction", "bill", "the output"),))


def test_a_place_without_results_is_a_mistake(tmp_path: Path) -> None:
    """A typing error in a path, most often."""
    with pytest.raises(ConfigError, match="holds no results"):
        choose_failed(str(tmp_path), None, ())
