"""Every form of override and every flag of Hydra: used as in Hydra, or refused with what to type instead."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from asr.cli.arguments import split_arguments
from asr.cli.composition import Composer
from asr.cli.overrides import chosen_names, is_interpolation, split_commas
from asr.cli.roots import ROOTS
from asr.errors import ConfigError
from asr.settings.model import Cell

from ..conftest import REPOSITORY

HEADS = [
    "key", "a.b", "a/b", "group@package", "group@a.b", "a-b", "_x", "+key", "++key", "~key", "+group@package", "~group",
    "~a.b", "+++key", "a b", "http://x", "1a", "", "a..b", "+", "~", "a.wav",
]  # fmt: skip


def compose(command: str, *overrides: str):
    with Composer(command) as composer:
        return composer.compose(list(overrides))


@pytest.mark.parametrize("head", HEADS)
def test_what_hydras_parser_reads_as_an_override_is_one_and_all_else_a_file(head, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (f"{head}=x", head):
        try:
            OverridesParser.create().parse_override(text)
            expected = head not in ("", "+", "~")  # a section without a name is no setting here
        except HydraException:
            expected = False
        if "a..b" in text or not text:  # refused with messages of their own
            continue
        split = split_arguments([text])
        assert (split.overrides, split.files) == (([text], []) if expected else ([], [text]))


# Form of override, with the name of a setting, its value and the default of it.
FORMS = {
    "{name}={value}": None,
    "++{name}={value}": None,
    "+{name}={value}": r"{text}: there is a setting '{name}' already, \+ is for new ones: type {name}={value}",
    "~{name}": r"{text}: a setting cannot be deleted.* its default is {name}=",
    "~{name}={value}": r"{text}: a setting cannot be deleted.* its default is {name}=",
    "{name}@a={value}": r"{text}: @ chooses the section for an option of a group, and '{name}' is not a group",
    "{name}x={value}": r"has no setting '{name}x'; did you mean '.*'",
    "+{name}x={value}": r"has no setting '{name}x'.*: \+ cannot add one",
    "++{name}x={value}": r"has no setting '{name}x'.*: \+\+ cannot add one",
    "~{name}x": r"has no setting '{name}x'; did you mean '.*'",
    "{name}={value},{value}": r"{text}: several values for one key; that is a sweep",
    "{name}={{a:1}}": r"{name} must be .*, not '{{a:1}}'",
    "{name}=[1,2]": r"{name} must be .*, not '\[1,2\]'",
    "{name}=choice({value},{value})": r"several values for one key; that is a sweep",
    "{name}=${{nowhere.at_all}}": r"\$\{{nowhere.at_all\}} names no setting",
}


@pytest.mark.parametrize("command", ROOTS)
def test_every_form_of_override_does_what_hydra_does_or_is_refused_with_the_reason(command):
    name, value = {
        "prepare": ("overwrite", "true"), "train": ("model.depth", "2"), "doctor": ("workers", "2"),
        "lm": ("order", "3"),
        "evaluate": ("workers", "2"), "lexicon": ("overwrite", "true"), "tune": ("trials", "2"),
        "transcribe": ("workers", "2"), "align": ("workers", "2"),
    }.get(command, ("log", "json"))  # fmt: skip
    with Composer(command) as composer:
        for form, message in FORMS.items():
            text = form.format(name=name, value=value)
            if message is None:
                assert str(yaml_value(composer.compose([text]), name)).lower() == value
                continue
            pattern = message.format(text=re.escape(text), name=re.escape(name), value=re.escape(value))
            with pytest.raises(ConfigError, match=pattern) as caught:
                composer.compose([text])
            assert "\n" not in str(caught.value)


def yaml_value(settings, name: str):
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+model=gru", "model is chosen already, + is for groups that are not: type model=gru"),
        ("++model=gru", "++ is for settings: type model=gru"),
        ("~model=gru", "model is lstm here: type ~model"),
        ("model@other=gru", "no default option of model goes to 'other': type model=gru"),
        ("model=null", "type ~model for no option of model"),
        ("model=[lstm,gruu]", "model has no option 'gruu'; did you mean 'gru'"),
        ("model=lstm,gru", "that is a sweep"),
        ("model={depht:3}", "no setting 'model.depht'; did you mean 'model.depth'"),
        ("model={depth:x}", "model.depth must be a whole number, not 'x'"),
        ("optimizer=3", "optimizer is a section of settings: type optimizer.learning_rate=VALUE"),
        ("optimizer={learning_rat:1}", "did you mean 'optimizer.learning_rate'"),
        ("~optimizer", "a setting cannot be deleted, only groups can"),
        ("experiment=[smoke,finetun]", "experiment has no option 'finetun'; did you mean 'finetune'"),
        ("run_dir=${trainig.seed}", "did you mean 'training.seed'"),
        ("training.epochs=${model.cell}", "training.epochs=${model.cell}"),
        ("run_dir=${nothing:1}", "run_dir=${nothing:1}: Unsupported interpolation type nothing"),
    ],
)
def test_a_group_or_a_section_that_is_set_wrongly_is_refused_with_what_to_type(override, message):
    with pytest.raises(ConfigError) as caught:
        compose("train", override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_of_options_dictionaries_and_deleted_groups_are_what_they_are_in_hydra():
    both = compose("train", "experiment=[smoke,finetune]")
    assert (both.model.depth, both.training.epochs) == (compose("train", "experiment=smoke").model.depth, 20)
    assert compose("train", "optimizer={learning_rate:0.5,warmup_steps:3}").optimizer.warmup_steps == 3
    assert compose("train", "model={depth:2,cell:gru}").model.cell is Cell.gru
    assert compose("train", "~augment").augment == type(both.augment)()
    assert compose("train", "~experiment").model.cell is Cell.lstm
    assert chosen_names(["++model.depth=3", "features={mels:40}", "~augment"]) == {
        "model.depth", "features", "features.mels", "augment",
    }  # fmt: skip


def test_interpolations_work_on_the_command_line_with_commas_inside(monkeypatch):
    monkeypatch.delenv("ASR_NOT_SET", raising=False)
    for override, name, expected in (
        ("run_dir=runs/${training.seed}/${model.cell}", "run_dir", "runs/1/lstm"),
        ("run_dir=${oc.env:ASR_NOT_SET,a b}", "run_dir", "a b"),
        ("training.epochs=${training.patience}", "training.epochs", 10),
        ("optimizer.learning_rate=${oc.env:ASR_NOT_SET,1e-2}", "optimizer.learning_rate", 0.01),
        ("training.epochs=${oc.env:ASR_NOT_SET,${training.patience}}", "training.epochs", 10),
        ("data.train=[${oc.env:ASR_NOT_SET,a.jsonl},b.jsonl]", "data.train", ["a.jsonl", "b.jsonl"]),
        ("data.train=${data.valid}", "data.train", []),
        ("augment.speeds=${oc.decode:'[0.5,1.0]'}", "augment.speeds", [0.5, 1.0]),
        ("run_dir=s3://runs/${training.seed}", "run_dir", "s3://runs/1"),
        ("data.train=s3://bucket/a.jsonl", "data.train", ["s3://bucket/a.jsonl"]),
    ):
        assert yaml_value(compose("train", override), name) == expected, override


def test_a_file_whose_name_looks_like_an_interpolation_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "${z}.wav").touch()
    assert compose("transcribe", "bundle=${z}.wav").bundle == "${z}.wav"
    assert compose("transcribe", "bundle=\\${y}.wav").bundle == "${y}.wav"
    with pytest.raises(ConfigError, match=r"\$\{y\} names no setting .*in a file name, type \\\$\{"):
        compose("transcribe", "bundle=${y}.wav")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("${x:1,2}, b", ["${x:1,2}", "b"]),
        ("[a,b],[c]", ["[a,b]", "[c]"]),
        ("it's,b", ["it's", "b"]),
        ("(a,b", ["(a", "b"]),
        ("'a,b", ["'a", "b"]),
        ("", [""]),
        ("{a:[1,2],b:3},c", ["{a:[1,2],b:3}", "c"]),
    ],
)
def test_commas_within_quotes_and_brackets_separate_nothing(text, parts):
    assert split_commas(text) == parts


def test_an_interpolation_is_one_and_nothing_else():
    assert [is_interpolation(text) for text in ("${a}", "${a:${b}}", "${a}${b}", "x${a}", "${a", "")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


HYDRA_SETTINGS = [
    ("hydra.run.dir=x", "not used: the folder of a run is run_dir=x"),
    ("hydra.job.chdir=true", "never changes the working directory"),
    ("hydra.output_subdir=x", "config.yaml of its run_dir"),
    ("hydra/job_logging=none", "--verbose, --quiet and log=json"),
    ("hydra/hydra_logging=colorlog", "--verbose, --quiet and log=json"),
    ("hydra.verbose=true", "type --verbose"),
    ("hydra.mode=MULTIRUN", "--multirun starts a sweep"),
    ("hydra.help.header=x", "type --help"),
    ("hydra.sweep.dir=x", "for a sweep: add --multirun"),
    ("hydra/sweeper=optuna", "for a sweep: add --multirun"),
    ("hydra/launcher=joblib", "for a sweep: add --multirun"),
    ("hydra.job.name=x", "without --multirun"),
    ("hydra.searchpath=x", "must be a list of folders"),
    ("+hydra.searchpath=[/no/where]", "/no/where is not a folder"),
]


@pytest.mark.parametrize("command", ["train", "transcribe", "lm"])
def test_no_setting_of_hydra_is_ignored_in_silence(asr_command, command):
    for override, message in HYDRA_SETTINGS:
        outcome = asr_command(command, override)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.count("\n") == 1
        if command == "train" or "folder" in message:
            assert message in outcome.err or command != "train"
        assert "not used" in outcome.err or message in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cfg"], "--cfg needs a value: --cfg job|hydra|all"),
        (["--cfg", "jb"], "--cfg must be one of job, hydra, all, not 'jb'; did you mean job?"),
        (["--cfgg", "job"], "there is no flag --cfgg; did you mean --cfg?"),
        (["--resolve"], "--resolve belongs to --cfg: type --cfg job --resolve"),
        (["--resolv"], "did you mean --resolve?"),
        (["--package", "model"], "--package belongs to --cfg: type --cfg job --package model"),
        (["--cfg", "job", "--package", "modle"], "there is no section 'modle'"),
        (["--info=pluggins"], "--info must be one of .*; did you mean plugins?"),
        (["--config-dir"], "--config-dir needs a value: --config-dir DIR"),
        ([""], "an argument is empty: perhaps a variable of the shell that has no value"),
        (["--config-dir", "/no/where"], "--config-dir: /no/where is not a folder"),
        (["--config-name", "trian"], "--config-name: there is no 'trian'"),
        (["--config-name"], "--config-name needs a value"),
        (["--multirun=3"], "--multirun takes no value"),
        (["--run"], "leave it out"),
        (["--config-path", "x"], "--config-dir DIR adds a folder"),
        (["--hydra-help"], "--help"),
        (["--shell-completion"], "asr completion bash"),
        (["--experimental-rerun", "x"], "config.yaml"),
    ],
)
@pytest.mark.parametrize("command", ["train", "transcribe"])
def test_a_flag_that_is_mistyped_is_answered_on_one_line(asr_command, command, arguments, message):
    outcome = asr_command(command, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert re.search(message.replace("|", r"\|").replace("?", r"\?"), outcome.err), outcome.err


@pytest.mark.parametrize("command", ROOTS)
def test_every_command_shows_how_it_is_composed(asr_command, command):
    shown = asr_command(command, "--cfg", "job", "log=json")
    assert shown.code == 0, shown.err
    assert yaml.safe_load(shown.out)["log"] == "json"
    assert "hydra" not in yaml.safe_load(shown.out)


def test_what_is_shown_is_the_job_hydra_or_one_section(asr_command):
    assert list(yaml.safe_load(asr_command("train", "--cfg", "hydra").out)) == ["hydra"]
    assert {"hydra", "model"} <= yaml.safe_load(asr_command("train", "--cfg", "all").out).keys()
    section = asr_command("train", "model=gru", "-c", "job", "-p", "model").out
    assert section.startswith("# @package model\n")
    assert yaml.safe_load(section)["cell"] == "gru"
    bare = ["train", "training.epochs=${training.patience}", "--cfg", "job"]
    assert "epochs: ${training.patience}\n" in asr_command(*bare).out
    assert "epochs: 10\n" in asr_command(*bare, "--resolve").out
    for kind, text in (("defaults-tree", "model: gru"), ("searchpath", "conf"), ("defaults", "model/gru")):
        assert text in asr_command("train", "model=gru", "--info", kind).out
    assert "Config search path" in asr_command("train", "--info").out


def test_the_refusals_that_the_documentation_shows_are_those_of_the_program(asr_command):
    text = (REPOSITORY / "docs" / "configuring.md").read_text()
    shown = re.findall(r"^\$ asr (.*)\n(asr: error: .*\n)", text, re.MULTILINE)
    checked = [one for one in shown if "my_conf" not in one[0]]
    assert len(checked) > 5
    for command, message in checked:
        assert asr_command(*shlex.split(command)).err == message
