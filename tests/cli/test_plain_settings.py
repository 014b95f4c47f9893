"""Settings that are read without Hydra are those that Hydra composes."""

from __future__ import annotations

import random
import shutil
from enum import Enum

import pytest

from asr.cli import plain_settings as under_test
from asr.cli.arguments import split_arguments
from asr.cli.composition import Composer
from asr.cli.composition_schemas import declared_keys
from asr.cli.overrides import shown_value
from asr.cli.plain_settings import plain_settings
from asr.cli.roots import FOLDER_VARIABLE, ROOTS, conf_dir
from asr.errors import AsrError
from asr.settings.checks import without_none

NUMBERS = [
    *(
        "0",
        "1",
        "2",
        "7",
        "16",
        "64",
        "1000",
        "-1",
        "-5",
        "-0",
        "+3",
        "007",
        "1_000",
        "1e3",
        "0x10",
        "99999999999999999",
    ),
    *("0.5", "0.25", "-2.5", "1.", ".5", "1e-3", "1E-3", "1.5e+2", "-1e-05", "0.1e1", "1e400", "-0.0", "inf", "nan"),
    *("0.1234567890123456789", "1 ", " 1", "1,2", "0.3333333333333333", "1e", "1e5", "99999999999999999"),
]
TRUTHS = ["true", "false", "True", "FALSE", "yes", "no", "on", "off", "1", "0"]
TEXTS = [
    *(
        "en",
        "tiny",
        "a b",
        "a=b",
        "k=v=w",
        "x/y.wav",
        "~/x",
        "./a",
        "C:/x",
        "a,b",
        "3/20",
        "local",
        "host:80",
        "mix",
        "1",
    ),
    *(
        "null",
        "Null",
        "~",
        "none",
        "true",
        "1e3",
        "0.5",
        "-",
        "--",
        "@x",
        "a@b",
        "a%20b",
        "été",
        "имя",
        "a  b",
        "?",
        "???",
    ),
    *("", " ", " a", "a ", "'a'", '"a b"', "'", '"', "it's", "a\\", "\\'", "a'b\\", "${x}", "\\${x}", "${oc.env:HOME}"),
    *(
        "[a]",
        "[a,b]",
        "[]",
        "{a:1}",
        "(x)",
        "a(b)",
        "choice(a,b)",
        "glob(*)",
        "*",
        "a\tb",
        "a\nb",
        "#x",
        "a #x",
        "a: b",
    ),
    *(
        "bundle",
        "auto",
        "beam",
        "greedy",
        "standard",
        "de",
        "en-GB",
        "s3://b/k",
        "http://h/p?q=1&r",
        "\u2028",
        "\x00",
        "ﬁ",
    ),
]
GROUPS = ["decoder", "normalizer", "experiment", "model", "hydra", "live", "shapes"]


def composed(composer: Composer, overrides: list[str]) -> str | None:
    """All values and their types, in words; None for an error."""
    try:
        return repr(composer.compose(overrides))
    except AsrError:
        return None


def values(kind: object) -> list[str]:
    """Forms of values, most of them of a type."""
    kind = without_none(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [*kind.__members__, *("null", "Json", "0", "x")]
    of_kind = NUMBERS if kind in (int, float) else TRUTHS if kind is bool else TEXTS
    return [*of_kind, "null", "bundle", "${workers}", "[1,2]"]


def override(draw: random.Random, command: str) -> str:
    """An override that is valid more often than not."""
    if draw.random() < 0.1:
        return f"{draw.choice(GROUPS)}={draw.choice(TEXTS)}"
    key = draw.choice(list(declared_keys(command).values()))
    prefix = draw.choice(["+", "++", "~"]) if draw.random() < 0.02 else ""
    suffix = draw.choice(["x", "@a", ".x"]) if draw.random() < 0.02 else ""
    value = draw.choice([shown_value(key.default), draw.choice(TEXTS if draw.random() < 0.05 else values(key.kind))])
    return f"{prefix}{key.name}{suffix}={value}"


def compare(command: str, lists: list[list[str]]) -> int:
    """Compare with Hydra; returns how many were read without it."""
    read = 0
    with Composer(command) as composer:
        for overrides in lists:
            split = split_arguments(overrides)
            settings = plain_settings(command, split)
            if settings is not None:
                assert repr(settings) == composed(composer, split.overrides), overrides
                read += 1
    return read


@pytest.mark.parametrize("command", ["transcribe", "evaluate", "lm"])
def test_what_is_read_without_hydra_is_what_hydra_composes(command):
    draw = random.Random(command)
    lists = [[override(draw, command) for _ in range(draw.randrange(1, 4))] for _ in range(40)]
    assert compare(command, [[], *lists]) > 8


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("command", ROOTS)
def test_of_many_command_lines_too(command):
    draw = random.Random(f"many {command}")
    lists = [[override(draw, command) for _ in range(draw.randrange(4))] for _ in range(300)]
    compare(command, lists)


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("transcribe", []),
        ("transcribe", ["bundle=runs/my run/best", "format=json", "workers=2", "max_hours=1", "mark_below=0.5"]),
        ("transcribe", ["output_dir=a=b", "overwrite=true", "shard=3/20", "track=null", "decoder.lm_weight=1e-3"]),
        ("transcribe", ["decoder.beam_width=64", "decoder=beam"]),
        ("transcribe", ["decoder=greedy", "log=json"]),
        ("listen", ["live.endpoint.silence_seconds=1", "pace=fast"]),
        ("evaluate", ["normalizer.keep=-", "english=true", "hypotheses=h.jsonl"]),
        ("serve", ["port=80", "limits.requests=2"]),
        ("export", ["to=litert", "shapes.window_seconds=2.5"]),
    ],
)
def test_usual_settings_need_no_hydra(command, overrides):
    assert compare(command, [overrides]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--show-config"], ["--cfg", "job"], ["--config-dir", "x"], ["workers=1", "workers=2"],
        ["workers=-1"], ["workers=two"], ["wrkers=2"], ["+workers=2"], ["decoder=none"], ["decoder=null"],
        ["decoder=greedy", "decoder.beam_width=4"], ["output_dir=${bundle}"], ["output_dir=x", "beside=true"],
        ["decoder=auto", "decoder=beam"], ["normalizer=standard"], ["live=standard"], ["hydra.searchpath=[x]"],
    ],
)  # fmt: skip
def test_flags_mistakes_and_forms_of_hydra_are_left_to_hydra(arguments):
    assert plain_settings("transcribe", split_arguments(arguments)) is None


def test_folders_of_the_users_own_are_left_to_hydra(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert plain_settings("transcribe", split_arguments([])) is None


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("transcribe.yaml", "_self_", "_self_\nworkers: 2"),
        ("transcribe.yaml", "  - _self_", "  - _self_\n  - other"),
        ("transcribe.yaml", "decoder: auto", "decoder: beam_of_mine"),
        ("transcribe.yaml", "  - decoder: auto\n", ""),
        ("transcribe.yaml", "transcribe_schema", "align_schema"),
        ("transcribe.yaml", "# `asr", "# @package decoder\n# `asr"),
        ("transcribe.yaml", "# `asr", "# \u2028workers: 2 # `asr"),
        ("decoder/auto.yaml", "auto_schema", "auto_schema\nbeam_width: 4"),
        ("decoder/auto.yaml", "auto_schema", "beam_schema"),
        ("decoder/auto.yaml", "defaults:\n  - auto_schema\n", ""),
    ],
)
def test_values_in_the_configuration_files_are_left_to_hydra(monkeypatch, tmp_path, file, old, new):
    folder = tmp_path / "conf"
    shutil.copytree(conf_dir(), folder)
    monkeypatch.setattr(under_test, "conf_dir", lambda: folder)
    assert plain_settings("transcribe", split_arguments([])) is not None
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), "utf-8")
    assert plain_settings("transcribe", split_arguments([])) is None
    (folder / file).unlink()
    assert plain_settings("transcribe", split_arguments([])) is None
