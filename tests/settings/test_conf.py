"""Settings from the command line: what Hydra composes, what is refused and how."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from asr.cli import composition
from asr.cli.composition import Composer
from asr.cli.roots import ROOTS
from asr.errors import ConfigError
from asr.settings import yaml_text
from asr.settings.augment import AugmentConfig
from asr.settings.commands import EvaluateConfig, ListenConfig, ServeConfig, TrainConfig, TranscribeConfig
from asr.settings.decoding import AutoConfig, BeamConfig, GreedyConfig
from asr.settings.model import Cell, ModelConfig
from asr.settings.sweeps import StudyConfig
from asr.settings.text import NormalizerConfig

from ..conftest import REPOSITORY

NASTY = """a b.wav|jürgen.wav|it's.wav|m (1).wav|a,b.wav|x=1.wav|~/x.wav|a&b.wav|[x].wav|{y}.wav|$HOME.wav
quo"te.wav|back\\slash.wav|end\\|#x.wav|a:b.wav|日本.wav| lead|null.wav|1e5|true|a'b\\'c""".replace("\n", "|").split(
    "|"
)


def compose(command: str, *overrides: str):
    with Composer(command) as composer:
        return composer.compose(list(overrides))


@pytest.mark.parametrize("kind", [TrainConfig, TranscribeConfig, ListenConfig, ServeConfig, EvaluateConfig])
def test_composing_nothing_gives_the_defaults_of_the_dataclass(kind):
    command = kind.__name__.removesuffix("Config").lower()
    assert compose(command) == kind()


def test_groups_and_keys_reach_their_settings():
    settings = compose(
        "train", "model=gru", "model.units=64", "augment=none", "data.train=a.jsonl", "optimizer.learning_rate=3e-4"
    )
    assert (settings.model.cell, settings.model.units, settings.augment.speeds) == (Cell.gru, 64, [1.0])
    assert settings.data.train == ["a.jsonl"]
    assert settings.optimizer.learning_rate == 3e-4
    assert compose("transcribe").decoder == AutoConfig()
    assert compose("transcribe", "decoder=greedy").decoder == GreedyConfig()
    assert compose("evaluate", "decoder=beam", "decoder.beam_width=4").decoder == BeamConfig(beam_width=4)


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "conf" / "experiment").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_experiment_composes(path):
    settings = compose("train", f"experiment={path.stem}")
    assert settings.data.train or path.stem == "finetune"  # which is for anybody's data
    assert settings.data.valid or settings.data.hold_out or path.stem == "finetune"


def test_two_ways_to_validate_are_refused():
    with pytest.raises(ConfigError, match=r"set data\.hold_out=0 or data\.valid="):
        compose("train", "data.valid=v.jsonl", "data.hold_out=0.1")


def test_an_experiment_can_still_be_overridden():
    assert compose("train", "experiment=smoke", "model=gru", "training.epochs=2").model.cell is Cell.gru
    assert compose("train", "experiment=smoke", "training.epochs=2").training.epochs == 2


@pytest.mark.parametrize("value", NASTY)
def test_any_file_name_is_taken_as_it_is(value):
    settings = compose("transcribe", f"bundle={value}", f"output_dir={value}")
    assert (settings.bundle, settings.output_dir) == (value, value)
    if not value.startswith("["):  # which opens a list
        assert compose("train", f"data.train={value}").data.train == [value]


def test_lists_of_paths_are_lists():
    assert compose("train", "data.train=[a b.jsonl,ü(1).jsonl]").data.train == ["a b.jsonl", "ü(1).jsonl"]
    assert compose("train", "data.train=[one.jsonl, two three.jsonl]").data.train == ["one.jsonl", "two three.jsonl"]
    assert compose("train", "data.train=['a,b.jsonl',\"c.jsonl\"]").data.train == ["a,b.jsonl", "c.jsonl"]


def test_null_is_nothing_and_quoted_null_a_name():
    assert compose("transcribe", "output_dir=null").output_dir is None
    assert compose("transcribe", "output_dir='null'").output_dir == "null"


@pytest.mark.parametrize(
    ("command", "override", "message"),
    [
        ("train", "modl=gru", "no setting 'modl'; did you mean 'model'"),
        ("train", "model=gruu", "model has no option 'gruu'; did you mean 'gru'"),
        ("train", "experiment=smok", "did you mean 'smoke'"),
        ("train", "model.dept=2", "did you mean 'model.depth'"),
        ("train", "learning_rate=1", "did you mean 'optimizer.learning_rate'"),
        ("train", "model.cell=lstmm", "must be one of lstm, gru, not 'lstmm'; did you mean 'lstm'"),
        ("train", "model.depth=two", "model.depth must be a whole number, not 'two'"),
        ("train", "model.depth=0", "model.depth must be at least 1, not 0"),
        ("train", "training.jit_compile=maybe", "must be one of true, false, not 'maybe'"),
        ("train", "features.fmax=9000", "features.fmin and features.fmax must be 0 <= fmin < fmax <= 8000 Hz"),
        ("train", "training.epochs=1,2", "that is a sweep, for `asr train --multirun`"),
        ("train", "augment.speeds=fast", "augment.speeds must be a list"),
        ("train", "hydra.run.dir=x", "hydra.run.dir=x: not used: the folder of a run is run_dir=x"),
        ("evaluate", "decoder.beem_width=8", "did you mean 'decoder.beam_width'"),
        ("transcribe", "format=jsn", "did you mean 'json'"),
        ("transcribe", "channel=left", "channel must be mix or the number of a channel, from 1, not 'left'"),
        ("transcribe", "track=0", "track must be at least 1, or null, not 0"),
        ("tune", "track=-1", "track must be at least 1, or null, not -1"),
        ("transcribe", "+new=1", "has no setting 'new'"),
        ("transcribe", "~decoder", "needs a decoder: type decoder=auto"),
        ("evaluate", "normaliser=none", "did you mean 'normalizer'"),
        ("evaluate", "worst=-1", "worst must be 0 or more"),
    ],
)
def test_a_mistake_is_refused_with_its_nearest_neighbour(command, override, message):
    with pytest.raises(ConfigError) as caught:
        compose(command, override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_set_takes_the_place_of_the_bundles_setting_and_the_others_stay():
    recommended = BeamConfig(beam_width=64, lm="own.lm", lm_weight=0.9, score_margin=13.0)
    assert AutoConfig().resolve(recommended) is recommended
    assert AutoConfig(lm="mine.lm", open_vocabulary=False, word_bonus=0.0).resolve(recommended) == replace(
        recommended, lm="mine.lm", open_vocabulary=False, word_bonus=0.0
    )
    assert AutoConfig(n_best=100).resolve(recommended) == replace(recommended, n_best=100, beam_width=100)


def test_a_bundle_that_recommends_nothing_is_decoded_greedily_unless_a_beam_search_is_set():
    assert AutoConfig().resolve(None) == GreedyConfig()
    assert AutoConfig(hotwords=["kathleen"]).resolve(None) == BeamConfig(hotwords=["kathleen"])
    assert compose("transcribe", "decoder.beam_width=8").decoder.resolve(None) == BeamConfig(beam_width=8)


def test_every_setting_of_a_beam_search_can_be_set_for_the_bundles_own():
    assert [one.name for one in fields(AutoConfig)] == [one.name for one in fields(BeamConfig)]
    for overrides, expected in {
        ("decoder.lm=null",): {"lm": None},
        ("decoder.score_margin=null", "decoder.lm_weight=1"): {"score_margin": None, "lm_weight": 1.0},
        ("decoder.open_vocabulary=false", "decoder.lm=bundle"): {"open_vocabulary": False},
        ("decoder.lm=./bundle",): {"lm": "./bundle"},
    }.items():
        recommended = BeamConfig(lm="own.lm", score_margin=7.0, lm_weight=0.25)
        assert compose("transcribe", *overrides).decoder.resolve(recommended) == replace(recommended, **expected)


def test_no_setting_of_a_bundles_decoder_is_null_or_of_another_type_where_a_beam_search_has_none_such():
    for override, message in {
        "decoder.beam_width=null": "decoder.beam_width must be a whole number",
        "decoder.beam_width=wide": "decoder.beam_width must be a whole number",
        "decoder.open_vocabulary=7": "decoder.open_vocabulary must be one of true, false",
    }.items():
        with pytest.raises(ConfigError, match=message):
            compose("transcribe", override)


def test_a_setting_of_another_decoder_is_refused_by_its_name():
    with pytest.raises(ConfigError, match=r"'decoder\.beam_width' with this decoder: it is of decoder=auto"):
        compose("transcribe", "decoder=greedy", "decoder.beam_width=8")


def test_a_beam_wider_than_its_n_best_is_needed():
    with pytest.raises(ConfigError, match=r"decoder\.n_best must be"):
        compose("transcribe", "decoder=beam", "decoder.n_best=99")
    with pytest.raises(ConfigError, match=r"decoder\.n_best must be"):
        compose("transcribe", "decoder.beam_width=2", "decoder.n_best=3")


def test_settings_survive_yaml():
    settings = compose("train", "experiment=smoke", "run_dir=it's here", "model.cell=gru")
    assert yaml_text.from_yaml(TrainConfig, yaml_text.to_yaml(settings), "config.yaml") == settings
    with pytest.raises(ConfigError, match=r"config\.yaml:1: "):
        yaml_text.from_yaml(TrainConfig, "modle: 1", "config.yaml")


def test_every_setting_is_explained():
    for command in ROOTS:
        with Composer(command) as composer:
            for key in composer.keys().values():
                assert key.help, key.name


def test_yaml_files_hold_no_value_that_is_the_default_anyway():
    groups = {"model": ModelConfig(), "augment": AugmentConfig(), "normalizer": NormalizerConfig()}
    for group, defaults in groups.items():
        for path in (REPOSITORY / "conf" / group).glob("*.yaml"):
            for name, value in (yaml.safe_load(path.read_text()) or {}).items():
                default = getattr(defaults, name)
                assert value != getattr(default, "name", default), f"{path}: {name}"


def test_every_setting_has_a_default_and_needs_no_hydra():
    code = """
import sys
sys.modules["hydra"] = sys.modules["omegaconf"] = None
import pkgutil
from importlib import import_module
import asr.settings
modules = [import_module(f"asr.settings.{one.name}") for one in pkgutil.iter_modules(asr.settings.__path__)]
kinds = {name: kind for module in modules for name, kind in vars(module).items() if name.endswith("Config")}
made = [kind() for kind in kinds.values()]
print(*(type(one).__name__ for one in made))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"TrainConfig", "TranscribeConfig", "BeamConfig", "FeatureConfig"} <= set(done.stdout.split())


def test_the_configuration_is_found_from_the_root_of_the_file_system():
    code = "from asr.cli.roots import conf_dir; print(conf_dir() / 'train.yaml')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=True)
    assert Path(done.stdout.strip()).is_file()


def written_commands() -> list[tuple[str, str, str]]:
    """Every `asr COMMAND ... key=...` that the code and the documents tell a user to type: place, command, key."""
    sources = [*(REPOSITORY / "asr").rglob("*.py"), REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
    found = set()
    for path in sources:
        text = path.read_text("utf-8").replace("\\\n", " ")
        text = re.sub(r"^\$ asr .*\nasr: error: .*$", "", text, flags=re.MULTILINE)  # examples of what is refused
        for match in re.finditer(
            r"\basr (train-text|train|transcribe|listen|evaluate|doctor|lm|tune|align)\b([^\n`\"#|)]*)", text
        ):
            for key in re.findall(r"(?<![\w.=/,\[])([a-z_][\w./]*)=", match[2]):
                found.add((path.name, match[1], key))
    return sorted(found)


def test_every_setting_in_a_message_or_a_document_exists():
    commands = written_commands()
    assert len(commands) > 50
    known: dict[str, set[str]] = {}
    for command in {command for _, command, _ in commands}:
        with Composer(command) as composer:
            groups = composer.groups
            of_sweeps = {
                "hydra/launcher",
                "hydra.launcher.n_jobs",
                "hydra/sweeper",
                "hydra.sweep.dir",
                "hydra.searchpath",
            }
            of_sweeps |= {f"hydra.sweeper.{one.name}" for one in fields(StudyConfig)}
            known[command] = {*of_sweeps, *groups, *composer.keys()}
            known[command] |= {key.removeprefix("live.") for key in known[command] if key.startswith("live.endpoint.")}
            if "decoder" in groups:
                known[command] |= set(composer.keys(["decoder=beam"]))
    assert [one for one in commands if one[2] not in known[one[1]]] == []


def test_any_number_of_overrides_costs_one_composition(monkeypatch):
    counts, plain = [], composition.compose

    def counted(*arguments, **settings):
        counts[-1] += 1
        return plain(*arguments, **settings)

    monkeypatch.setattr(composition, "compose", counted)
    values = ["model.depth=2", "model.units=32", "model.dropout=0.1", "training.epochs=3", "training.seed=1"]
    values += ["optimizer.learning_rate=1e-3", "features.mels=40", "data.hold_out=0.1", "augment.speeds=[1.0]"]
    for overrides in ([], values[:1], values):
        counts.append(0)
        with Composer("train") as composer:
            composer.compose(overrides)
    assert counts == [1, 1, 1]
