from __future__ import annotations

import pytest

from asr.cli.arguments import nearest, split_arguments
from asr.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "x=1.wav", "--flag.wav", "b c.wav", "~tilde.wav"):
        (tmp_path / name).touch()


def test_what_exists_is_a_file_whatever_it_looks_like():
    split = split_arguments(["a.wav", "x=1.wav", "--flag.wav", "b c.wav", "~tilde.wav", "decoder=beam", "-q"])
    assert split.files == ["a.wav", "x=1.wav", "--flag.wav", "b c.wav", "~tilde.wav"]
    assert split.overrides == ["decoder=beam"]
    assert split.flags == {"--quiet"}


def test_everything_after_two_dashes_is_a_file():
    assert split_arguments(["--", "decoder=beam", "--help"]).files == ["decoder=beam", "--help"]


def test_a_missing_file_is_still_a_file_and_a_dash_is_standard_input():
    assert split_arguments(["none.wav", "-"]).files == ["none.wav", "-"]


def test_a_value_may_hold_anything():
    assert split_arguments(["output_dir=it's, (a) = ~ü"]).overrides == ["output_dir=it's, (a) = ~ü"]


def test_a_mistyped_flag_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="there is no flag --verbos; did you mean --verbose"):
        split_arguments(["--verbos"])


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (["--format", "srt"], "format=srt"),
        (["--format=srt"], "format=srt"),
        (["--output-dir", "my texts"], "output_dir='my texts'"),
        (["--decoder.beam-width", "-v"], "decoder.beam_width=VALUE"),
        (["--english"], "english=VALUE"),
    ],
)
def test_a_setting_with_dashes_is_answered_with_the_setting(arguments, setting):
    with pytest.raises(ConfigError, match=f"there is no flag {arguments[0].partition('=')[0]}; settings") as caught:
        split_arguments(arguments)
    assert str(caught.value).endswith(f"settings are written key=value: {setting} (a file of that name follows --)")


def test_a_letter_of_another_program_is_answered_with_where_settings_are_listed():
    with pytest.raises(ConfigError, match="there is no flag -o; settings are written key=value, and --help lists them"):
        split_arguments(["-o", "out"])


def test_the_nearest_name_may_have_other_capitals():
    assert nearest("SRT", ["txt", "srt", "TextGrid"]) == "srt"
    assert nearest("textgrid", ["txt", "TextGrid"]) == "TextGrid"
