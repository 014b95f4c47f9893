"""Numbers that are none, on the command line and in YAML: one line, exit code 2, the setting by its name."""

from __future__ import annotations

import re
from functools import cache

import pytest

from asr.cli.composition import Composer
from asr.cli.overrides import Key
from asr.cli.roots import ROOTS
from asr.errors import ConfigError
from asr.settings import yaml_text
from asr.settings.commands import TrainConfig

from ..conftest import SAMPLES

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]


@cache
def numbers(command: str, kind: str = "float") -> list[Key]:
    """The settings of a command that are numbers or lists of them."""
    with Composer(command) as composer:
        keys = composer.keys(["decoder=beam"] if "decoder" in composer.groups else [])
    return [key for key in keys.values() if kind in str(key.kind)]


WITHOUT_NUMBERS = {"average", "card", "push", "pull"}


def check_refused(asr_command, command: str, key: Key, value: str) -> None:
    given = f"[{value}]" if "list" in str(key.kind) else value
    choices = ["decoder=beam"] if key.name.startswith("decoder.") else []
    files = [] if command in ("train", "doctor") else [SAMPLE]
    outcome = asr_command(command, *files, *choices, f"{key.name}={given}")
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"asr: error: {key.name}")
    assert " must be " in outcome.err
    assert len(outcome.err) < 300


@pytest.mark.parametrize("command", [name for name in ROOTS if name not in WITHOUT_NUMBERS])
def test_an_infinite_number_is_one_line_and_exit_code_2(asr_command, command):
    check_refused(asr_command, command, numbers(command)[-1], "nan" if len(command) % 2 else "inf")


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("command", ROOTS)
def test_every_infinite_number_is_refused_in_one_line(command):
    of_train = set() if command == "train" else {key.name for key in numbers("train")}
    keys = [one for one in numbers(command) if one.name not in of_train]
    with Composer(command) as composer:
        for key in keys:
            choices = ["decoder=beam"] if key.name.startswith("decoder.") else []
            for value in ("inf", "-inf", "nan", "1e999"):
                given = f"[{value}]" if "list" in str(key.kind) else value
                with pytest.raises(ConfigError, match=rf"^{re.escape(key.name)}.* must be .*\Z"):
                    composer.compose([*choices, f"{key.name}={given}"])


@pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 400, "1e400"])
def test_a_whole_number_beyond_all_sizes_is_one_line_and_exit_code_2(asr_command, value):
    check_refused(asr_command, "lm", numbers("lm", "int")[0], value)


def test_yaml_and_python_are_refused_in_the_same_words():
    assert len(numbers("train")) > 30
    for key in numbers("train"):
        *sections, name = key.name.split(".")
        several = "list" in str(key.kind)
        for spelled, value in ((".inf", float("inf")), (".nan", float("nan"))):
            text = f"{sections[0]}: {{{name}: {f'[{spelled}]' if several else spelled}}}"
            with pytest.raises(ConfigError, match=rf"^{key.name}.* must be ") as in_yaml:
                yaml_text.from_yaml(TrainConfig, text, "config.yaml")
            with pytest.raises(ConfigError) as in_python:
                type(getattr(TrainConfig(), sections[0]))(**{name: [value] if several else value})
            assert str(in_yaml.value) == str(in_python.value)
