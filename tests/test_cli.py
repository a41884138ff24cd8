"""The command as people and scripts meet it: a process with arguments, two streams and an exit code."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from pipeline.config import RunConfig

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_docs"
COMMANDS = ("run", "show", "failures", "retry", "check", "extractions", "models", "config", "plan")
HEAVY = {
    *("cv2", "numpy", "obstore", "onnxruntime", "PIL", "pyarrow", "pydantic", "pymupdf", "rapidocr", "rich", "torch"),
    *("vllm", "prefect"),
}

SampleRun = tuple[Path, subprocess.CompletedProcess[str]]


def pagemill(*arguments: str | Path, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=_environment(environ),
    )


def _environment(extra: dict[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PAGEMILL_")}
    return own | {"PYTHONPATH": str(ROOT)} | extra


def test_help_tells_a_newcomer_what_to_type() -> None:
    """It is the first thing anybody asks."""
    shown = pagemill("--help")
    assert shown.returncode == 0
    for expected in (*COMMANDS, "examples:", "exit codes:", "pagemill run invoices/ out/ --extraction invoice"):
        assert expected in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    """Nobody should need the source."""
    shown = pagemill(command, "--help")
    assert shown.returncode == 0
    assert f"usage: pagemill {command}" in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_documented(command: str) -> None:
    """An undocumented command does not exist."""
    documents = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    assert any(f"pagemill {command}" in document.read_text("utf-8") for document in documents)


def test_help_tells_the_defaults_of_what_and_how_to_read() -> None:
    """They are written down twice, since help must not load the configuration."""
    text = " ".join(pagemill("run", "--help").stdout.split())
    for key in ("extraction", "engine"):
        assert f"(default: {RunConfig.model_fields[key].default}" in text


def test_help_loads_nothing_heavy() -> None:
    """Help that takes a second feels broken; a time limit would test the machine."""
    code = "import sys, pipeline.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert HEAVY & set(loaded.split()) == set()


def test_the_version_is_told() -> None:
    """Bug reports begin with it."""
    assert re.fullmatch(r"pagemill \d+\.\d+\.\d+\n", pagemill("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fly",), "invalid choice: 'fly'"),
        ((), "the following arguments are required: COMMAND"),
        (("run", "--extract", "invoice"), "unrecognized arguments: --extract"),
        (("run",), "input is not set"),
        (("run", "in", "out", "--engine", "gpu"), "engine = 'gpu' (--engine): input should be 'auto', 'vllm' or 'ocr'"),
        (("run", "in", "out", "--limit", "0"), "limit = '0' (--limit)"),
        (("run", "in", "out", "--set", "limit"), "write it as KEY=VALUE"),
        (("run", "in", "out", "--set", "limt=3"), "Did you mean limit?"),
        (("run", "in", "out", "--config", "none.toml"), "none.toml cannot be read"),
        (("run", "a.pdf", "b.pdf", "out"), "put a glob in quotes"),
        (("run", "in", "out", "--extraction", "poems"), "There is no extraction 'poems'"),
        (("show", "tests", "--extraction", "poems"), "holds no results"),
        (("failures", "tests"), "holds no results"),
        (("retry", "tests"), "holds no results"),
        (("check", "tests"), "holds no results"),
        (("failures", "out", "--reason", "bad"), "'bad' is none of not_a_document"),
        (("retry", "out", "--limit", "3"), "unrecognized arguments: --limit"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    """A traceback tells a newcomer nothing."""
    done = pagemill(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_input_that_is_not_there_exits_with_2(tmp_path: Path) -> None:
    """A typing error in a path must not look like an empty, successful run."""
    done = pagemill("run", tmp_path / "nowhere", tmp_path / "out", "--engine", "ocr")
    assert (done.returncode, "nowhere" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_verbose_adds_the_traceback() -> None:
    """Whoever looks for a fault needs it."""
    assert "Traceback" in pagemill("run", "in", "out", "--extraction", "poems", "-v").stderr


def test_control_characters_are_escaped_in_errors() -> None:
    """A file name must not be able to steer the terminal."""
    message = pagemill("run", "in", "out", "--extraction", "\x1b]0;owned\x07").stderr
    assert "\\x1b]0;owned\\x07" in message
    assert "\x1b" not in message


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`pagemill config | head -1` is normal."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "pipeline", "config"]
    with os.fdopen(theirs, "w") as gone:
        done = subprocess.run(command, check=False, stdout=gone, stderr=subprocess.PIPE, cwd=ROOT, env=_environment({}))
    assert (done.returncode, done.stderr) == (141, b"")


def test_extractions_lists_what_is_shipped_and_what_is_ours(tmp_path: Path) -> None:
    """Adding a folder is all it takes to add an extraction."""
    own = tmp_path / "delivery"
    own.mkdir()
    (own / "prompt.md").write_text("Read the delivery note.")
    (own / "schema.py").write_text("from pydantic import BaseModel\nclass Delivery(BaseModel):\n    number: str\n")
    lines = pagemill("extractions", "--json", "--prompts", tmp_path).stdout.splitlines()
    found = {entry["name"]: entry["fields"] for entry in map(json.loads, lines)}
    assert set(found) == {"delivery", "invoice", "receipt", "transcript"}
    assert found["delivery"] == ["number"]


def test_models_lists_the_default_model() -> None:
    """--model takes these names."""
    names = [json.loads(line)["name"] for line in pagemill("models", "--json").stdout.splitlines()]
    assert "qwen2.5-vl-7b-awq" in names


def test_config_tells_flags_from_variables_from_the_file(tmp_path: Path) -> None:
    """It answers "why does it do that?"."""
    (tmp_path / "pagemill.toml").write_text("extraction = 'invoice'")
    done = pagemill("config", "--json", "--max-pixels", "800000", cwd=tmp_path, PAGEMILL_LIMIT="3")
    settings = json.loads(done.stdout)
    assert settings["extraction"] == {"value": "invoice", "from": "pagemill.toml"}
    assert settings["limit"] == {"value": 3, "from": "PAGEMILL_LIMIT"}
    assert settings["render.max_pixels"] == {"value": 800000, "from": "--max-pixels"}


def test_flags_fill_in_settings() -> None:
    """Each option exists once; a flag is a short way to it."""
    flags = ("--force", "--since", "7d", "--sample", "5%", "--wait", "30", "--no-canary")
    settings = json.loads(pagemill("config", "--json", *flags).stdout)
    assert {key: found["value"] for key, found in settings.items() if found["from"].startswith("--")} == {
        "force": True,
        "since": "7d",
        "sample": "5%",
        "output_files.wait_s": 30.0,
        "canary.mode": "off",
    }


@pytest.mark.slow
def test_the_wheel_holds_the_extractions_and_the_command(tmp_path: Path) -> None:
    """Installed from a package index there is no prompts/ folder beside the code."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert b"pagemill = pipeline.cli:run_program" in wheel.read(entry_points)
    for extraction in ("invoice", "receipt", "transcript"):
        assert {f"pipeline/_prompts/{extraction}/prompt.md", f"pipeline/_prompts/{extraction}/schema.py"} <= names
    assert "pipeline/canary/pages.pdf" in names


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """Two sample documents read with real OCR, one of them damaged: the output and what the process said."""
    folder = tmp_path_factory.mktemp("run")
    documents = folder / "in"
    documents.mkdir()
    for name in ("invoice-en.pdf", "invoice-damaged.pdf"):
        (documents / name).write_bytes((SAMPLES / "invoices" / name).read_bytes())
    arguments = ("--extraction", "invoice", "--engine", "ocr", "--workers", "1", "--json")
    return folder, pagemill("run", documents, folder / "out", *arguments)


@pytest.mark.slow
def test_a_run_with_a_damaged_document_exits_with_1(sample_run: SampleRun) -> None:
    """Scripts must see that something is missing."""
    assert sample_run[1].returncode == 1, sample_run[1].stderr


@pytest.mark.slow
def test_json_is_one_object_a_line_and_ends_with_the_report(sample_run: SampleRun) -> None:
    """Machines read lines."""
    events = [json.loads(line) for line in sample_run[1].stdout.splitlines()]
    assert {event["event"] for event in events[:-1]} == {"progress"}
    report = events[-1]
    assert (report["event"], report["pages_ok"], report["pages_failed"], report["exit_code"]) == ("report", 1, 1, 1)


@pytest.mark.slow
def test_show_reads_a_finished_run_back(sample_run: SampleRun) -> None:
    """Results outlive the terminal they were printed on."""
    output = sample_run[0] / "out"
    shown = pagemill("show", output)
    assert (shown.returncode, "invoice-en.pdf" in shown.stdout, "damaged" in shown.stdout) == (0, True, True)
    assert json.loads(pagemill("show", output, "--json").stdout)["extractions"]["invoice"]["documents_ok"] == 1


@pytest.mark.slow
def test_failures_tells_reasons_and_where_to_look(sample_run: SampleRun) -> None:
    """The entry is a file that is there."""
    output = sample_run[0] / "out"
    shown = pagemill("failures", output, "--reason", "damaged")
    assert (shown.returncode, "what helps: fetch it again" in shown.stdout) == (0, True)
    entry = json.loads(Path(shown.stdout.splitlines()[-2].strip()).read_text())
    assert (entry["error_type"], entry["page_number"]) == ("damaged", None)
    assert json.loads(pagemill("failures", output, "--json").stdout)["error_type"] == "damaged"


@pytest.mark.slow
def test_check_finds_nothing_wrong_with_a_finished_run(sample_run: SampleRun) -> None:
    """Rows, statistics and the run's own account agree."""
    checked = pagemill("check", sample_run[0] / "out")
    assert checked.stdout.startswith("checked 1 part, 2 documents, 2 pages: no problem")
    assert checked.returncode == 0


@pytest.mark.slow
def test_check_of_a_damaged_output_exits_with_1_and_names_the_file(sample_run: SampleRun, tmp_path: Path) -> None:
    """A copy that broke off, a disk that lies."""
    output = tmp_path / "out"
    shutil.copytree(sample_run[0] / "out", output)
    [part] = (output / "invoice" / "pages").iterdir()
    part.write_bytes(part.read_bytes()[:-100])
    checked = pagemill("check", output)
    assert (checked.returncode, f"invoice/pages/{part.name}: The file is damaged" in checked.stdout) == (1, True)
    events = [json.loads(line)["event"] for line in pagemill("check", output, "--json").stdout.splitlines()]
    assert events[-1] == "checked"
    assert set(events[:-1]) == {"problem"}


@pytest.mark.slow
def test_retry_reads_what_failed_again_at_other_settings(tmp_path: Path) -> None:
    """A password turns up later; what was read stays as it is."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "open.jpg").write_bytes((SAMPLES / "receipts" / "receipt-newsagent.jpg").read_bytes())
    pdf: Any = pymupdf.open(SAMPLES / "invoices" / "invoice-en.pdf")  # type: ignore[no-untyped-call]
    aes = pymupdf.mupdf.PDF_ENCRYPT_AES_256
    pdf.save(tmp_path / "in" / "locked.pdf", encryption=aes, user_pw="key", owner_pw="key")
    output = tmp_path / "out"
    assert pagemill("run", tmp_path / "in", output, "--extraction", "invoice", "--engine", "ocr").returncode == 1
    command = ("retry", output, "--reason", "encrypted", "--set", "render.passwords=key")
    planned = pagemill(*command, "--dry-run")
    assert planned.stdout.startswith("1 page of invoice would be read again: 1 encrypted\n"), planned.stderr
    assert "but render.passwords as in --set" in planned.stdout
    done = pagemill(*command)
    assert done.returncode == 0, done.stderr
    assert "pages found 1 = 1 ok + 0 failed" in done.stdout
    assert "no page failed" in pagemill("failures", output).stdout
    assert list(output.glob("invoice/quarantine/*/*")) == []
    assert pagemill("check", output).returncode == 0
    again = pagemill(*command)
    assert (again.returncode, "nothing to read again" in again.stdout) == (0, True)


@pytest.mark.slow
def test_show_of_an_extraction_folder_names_the_output(sample_run: SampleRun) -> None:
    """Tab completion ends one folder too deep."""
    output = sample_run[0] / "out"
    done = pagemill("show", output / "invoice")
    assert (done.returncode, f"did you mean '{output}'?" in done.stderr) == (2, True)


@pytest.mark.slow
def test_show_does_not_look_like_failed_pages_when_its_reader_goes_away(sample_run: SampleRun) -> None:
    """`pagemill show out | head` is normal; code 1 would say that pages failed."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "pipeline", "show", str(sample_run[0] / "out")]
    with os.fdopen(theirs, "w") as gone:
        done = subprocess.run(command, check=False, stdout=gone, stderr=subprocess.PIPE, cwd=ROOT, env=_environment({}))
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do_and_says_so(sample_run: SampleRun) -> None:
    """The same command goes on where a run stopped; damaged documents are not tried again, but not forgotten."""
    folder = sample_run[0]
    again = pagemill("run", folder / "in", folder / "out", "--extraction", "invoice", "--engine", "ocr")
    assert again.returncode == 1, again.stderr
    assert again.stdout.startswith("2 documents (1 of them failed) were read before")
    assert f"`pagemill show {folder / 'out'}`" in again.stdout


@pytest.mark.slow
def test_an_output_that_cannot_be_written_is_no_fault_in_pagemill(tmp_path: Path) -> None:
    """A typing error in a path is the reader's to mend: one sentence, no traceback."""
    (tmp_path / "file").write_text("x")
    for output in ("/proc/pagemill/out", tmp_path / "file" / "out"):
        done = pagemill("run", SAMPLES / "invoices" / "invoice-damaged.pdf", output, "--engine", "ocr")
        assert (done.returncode, "choose another folder" in done.stderr) == (3, True), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on_next_time(
    tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    """Ctrl-C is how people stop things, SIGTERM how docker and systemd do."""
    arguments = ["run", str(SAMPLES / "receipts"), str(tmp_path / "out"), "--extraction", "receipt", "--engine", "ocr"]
    arguments += ["--json", "--workers", "1", "--set", "output_files.shard_pages=1"]
    command = [sys.executable, "-m", "pipeline", *arguments]
    pipe, environment = subprocess.PIPE, _environment({})
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["documents_done"]:
                os.killpg(process.pid, stop)  # as a terminal and systemd do: to the workers too
                break
        _, complaint = process.communicate()
    assert process.returncode == code, complaint
    asked, interrupted = complaint.splitlines()
    assert asked.startswith("pagemill: stopping: finishing pages in the engine, up to ")
    assert interrupted == "pagemill: interrupted; finished documents are committed, run again to go on"
    again = pagemill(*arguments)
    report = json.loads(again.stdout.splitlines()[-1])
    assert report["documents_skipped"] + report["documents"] == len(list((SAMPLES / "receipts").iterdir()))
    assert report["documents_skipped"] >= 1
