"""A wrong or forgotten setting costs a night's run: each must be found, named and explained before anything starts."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.settings import (
    Effective,
    Setting,
    as_json,
    as_toml,
    load_config,
    options,
    reference_table,
    variable,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings are read from the folder Pagemill is started in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    *flags: str, file: str | None = None, complete: bool = False, environ: Mapping[str, str] | None = None
) -> Effective:
    """Load what `--set` flags, variables and a pagemill.toml say."""
    if file is not None:
        Path("pagemill.toml").write_text(file)
    settings = [Setting(key, value, "--set") for key, _, value in (flag.partition("=") for flag in flags)]
    return load_config(settings, environ=environ or {}, complete=complete)


def refusal(
    *flags: str, file: str | None = None, complete: bool = False, environ: Mapping[str, str] | None = None
) -> str:
    """Return the message of the ConfigError."""
    with pytest.raises(ConfigError) as caught:
        load(*flags, file=file, complete=complete, environ=environ)
    return str(caught.value)


def test_nothing_said_means_the_defaults() -> None:
    """A newcomer configures nothing."""
    effective = load()
    assert effective.config == RunConfig(input="", output="")
    assert set(effective.origins) == set(options())
    assert {source for key, source in effective.origins.items() if key not in {"input", "output"}} == {"default"}


def test_flags_win_over_variables_over_the_file_over_defaults() -> None:
    """The nearer to the person at the keyboard, the stronger."""
    file = "limit = 1\nextraction = 'invoice'\n[render]\nworkers = 2\n[ocr]\nworkers = 3"
    environ = {"PAGEMILL_RENDER_WORKERS": "4", "PAGEMILL_OCR_WORKERS": "5"}
    effective = load("ocr.workers=6", file=file, environ=environ)
    config = effective.config
    assert (config.limit, config.render.workers, config.ocr.workers, config.tries.max_tries) == (1, 4, 6, 3)
    assert effective.origins["limit"] == "pagemill.toml"
    assert effective.origins["render.workers"] == "PAGEMILL_RENDER_WORKERS"
    assert effective.origins["ocr.workers"] == "--set"
    assert effective.origins["tries.max_tries"] == "default"


def test_a_selection_that_means_nothing_is_refused_when_settings_are_read() -> None:
    """With the setting, where it comes from and what it may say."""
    assert refusal("since=yesterday").startswith("since = 'yesterday' (--set): give a date (2026-03-01), a time ")
    assert refusal("sample=none").startswith("sample = 'none' (--set): give a number of documents (100) or a share ")


def test_a_named_file_replaces_the_one_in_the_folder() -> None:
    """Two files at once would be one precedence rule too many."""
    Path("pagemill.toml").write_text("limit = 1")
    Path("other.toml").write_text("extraction = 'receipt'")
    Path("third.toml").write_text("limit = 3")
    by_variable = load_config(environ={"PAGEMILL_CONFIG": "other.toml"}, complete=False).config
    by_flag = load_config(
        environ={"PAGEMILL_CONFIG": "other.toml"}, config_file=Path("third.toml"), complete=False
    ).config
    assert (by_variable.limit, by_variable.extraction) == (None, "receipt")
    assert (by_flag.limit, by_flag.extraction) == (3, "transcript")


def test_text_becomes_lists_tables_and_their_entries() -> None:
    """Variables and flags are text, yet every option must be reachable by them."""
    effective = load(
        "vllm.engine_args.enforce_eager=true",
        "vllm.engine_args.name=plain words",
        environ={
            "PAGEMILL_PROMPTS": "my prompts",
            "PAGEMILL_RENDER_PASSWORDS": '["1,2", "b"]',
            "PAGEMILL_VLLM_LORA": '{invoice = "adapters/invoice"}',
            "PAGEMILL_COST_PRICE_PER_HOUR": "0.62",
        },
    )
    config = effective.config
    assert config.vllm.engine_args == {"enforce_eager": True, "name": "plain words"}
    assert config.prompts == (Path("my prompts"),)
    assert [password.get_secret_value() for password in config.render.passwords] == ["1,2", "b"]
    assert config.vllm.lora == {"invoice": "adapters/invoice"}
    assert str(config.cost.price_per_hour) == "0.62"
    assert effective.origins["vllm.lora"] == "PAGEMILL_VLLM_LORA"


def test_a_password_of_digits_stays_text() -> None:
    """A PIN is not a number."""
    assert load("render.passwords=0042").config.render.passwords[0].get_secret_value() == "0042"


def test_entries_of_a_table_come_together_from_all_sources() -> None:
    """Overriding one engine argument must not drop the others."""
    effective = load("vllm.engine_args.b=2", file="[vllm.engine_args]\na = 1\nb = 1")
    assert effective.config.vllm.engine_args == {"a": 1, "b": 2}
    assert effective.origins["vllm.engine_args"] == "pagemill.toml, --set"


def test_an_empty_text_means_the_default() -> None:
    """A file's limit must be removable for one run."""
    effective = load("limit=", file="limit = 3", environ={"PAGEMILL_RENDER_WORKERS": ""})
    assert (effective.config.limit, effective.config.render.workers) == (None, None)
    assert effective.origins["limit"] == "default"


@pytest.mark.parametrize(
    ("file", "flags", "environ", "expected"),
    [
        ("limt = 3", (), {}, "There is no setting 'limt' (pagemill.toml). Did you mean limit?"),
        ("[rendr]\nx = 1", (), {}, "There is no setting 'rendr' (pagemill.toml)."),
        ("[render]\nmax_pixel = 1", (), {}, "'render.max_pixel' (pagemill.toml). Did you mean render.max_pixels?"),
        (None, ("max_pixels=1",), {}, "'max_pixels' (--set). Did you mean render.max_pixels?"),
        (None, (), {"PAGEMILL_LIMITS": "1"}, "variable PAGEMILL_LIMITS is no setting. Did you mean PAGEMILL_LIMIT?"),
        ("limit = { a = 1 }", (), {}, "limit = {'a': 1} (pagemill.toml): input should be a valid integer"),
        ("render = 5", (), {}, "render = 5 (pagemill.toml): render is a section"),
        ("limit = ", (), {}, "pagemill.toml is not valid TOML"),
        (None, ("limit=ten",), {}, "limit = 'ten' (--set): input should be a valid integer"),
        (
            None,
            (),
            {"PAGEMILL_ENGINE": "gpu"},
            "engine = 'gpu' (PAGEMILL_ENGINE): input should be 'auto', 'vllm' or 'ocr'",
        ),
        (None, ("vllm.lora=nonsense",), {}, "vllm.lora = 'nonsense' (--set): input should be a valid dictionary"),
        ("prompts = 3", (), {}, "prompts = 3 (pagemill.toml): input should be a valid tuple"),
        ("prompts = ['a', 3]", (), {}, "prompts = ['a', 3] (pagemill.toml)"),
    ],
)
def test_a_mistake_is_named_with_its_key_value_source_and_remedy(
    file: str | None, flags: tuple[str, ...], environ: dict[str, str], expected: str
) -> None:
    """Whoever made it must find it without reading code."""
    assert expected in refusal(*flags, file=file, environ=environ)


def test_a_mistake_in_a_password_does_not_print_it() -> None:
    """Error messages end in logs and tickets."""
    message = refusal(file="[render]\npasswords = ['hunter2', 5]")
    assert "render.passwords = (hidden)" in message
    assert "hunter2" not in message


def test_passwords_are_shown_nowhere() -> None:
    """`pagemill config` is what people paste when they ask for help."""
    effective = load("render.passwords=hunter2")
    assert "hunter2" not in as_toml(effective) + as_json(effective) + str(effective)
    assert "(hidden)" in as_toml(effective)


def test_missing_input_and_output_are_asked_for() -> None:
    """They are the only settings without a default."""
    assert "input is not set; give it on the command line, in pagemill.toml or as PAGEMILL_INPUT." in refusal(
        complete=True
    )


def test_settings_that_belong_together_are_asked_for_together() -> None:
    """No option is wrong by itself, and none of that name is missing."""
    assert "after = move and input_files.moved_to go together" in refusal("input_files.after=move")


def test_a_missing_configuration_file_is_an_error() -> None:
    """A typing error in --config must not mean the defaults."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read: No such file"):
        load_config(environ={}, config_file=Path("nowhere.toml"))


def test_the_printed_configuration_can_be_read_back() -> None:
    """`pagemill config > pagemill.toml` is how a file begins."""
    flags = ("vllm.lora.invoice=a b", "prompts=x", "limit=3", "cost.price_per_hour=0.5", "input=in", "output=out")
    config = load(*flags).config
    printed = as_toml(load(*flags))
    assert tomllib.loads(printed)["cost"] == {"price_per_hour": "0.5", "currency": "USD"}
    assert load(file=printed).config == config


def test_json_holds_value_and_source_of_each_setting() -> None:
    """Programs must not parse comments."""
    parsed = json.loads(as_json(load("limit=3")))
    assert parsed["limit"] == {"value": 3, "from": "--set"}
    assert list(parsed) == list(options())


def test_variables_are_distinct() -> None:
    """Two options under one variable could not be told apart."""
    assert len({variable(key) for key in options()}) == len(options())


def test_the_document_lists_every_setting_as_it_is() -> None:
    """Renew it with `pagemill config --markdown`."""
    assert DOCUMENT.read_text("utf-8").endswith(reference_table())


def test_every_setting_is_explained() -> None:
    """The reference is made of these texts."""
    assert [key for key, field in options().items() if not field.description] == []


def test_settings_of_vllm_may_be_lists_and_tables_at_any_depth(tmp_path: Path) -> None:
    """The compilation settings are a table in a table."""
    file = tmp_path / "pagemill.toml"
    file.write_text('[vllm.engine_args.compilation_config]\ncudagraph_capture_sizes = [1, 2]\nmode = "x"\n')
    flags = [
        Setting("vllm.engine_args.compilation_config.mode", "3", "--set"),
        Setting("vllm.engine_args.kv_cache_dtype_skip_layers", '["0", "1"]', "--set"),
    ]
    config = load_config(flags, environ={}, config_file=file, complete=False).config
    assert config.vllm.engine_args == {
        "compilation_config": {"cudagraph_capture_sizes": [1, 2], "mode": 3},
        "kv_cache_dtype_skip_layers": ["0", "1"],
    }
