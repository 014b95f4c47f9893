"""Types and bounds of settings: the same for Python, YAML and bundle cards."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.settings.augment import AugmentConfig
from asr.settings.checks import Bounds, above, at_least, at_most, below, between, check_settings, declared_bounds
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.decoding import AutoConfig, BeamConfig, BeamSettings, DecoderConfig
from asr.settings.model import Cell, ModelConfig

from .conftest import settings_names

KINDS = [
    kind
    for kind in settings_names().values()
    if isinstance(kind, type) and is_dataclass(kind) and kind not in (AutoConfig, BeamSettings, Bounds, DecoderConfig)
]


def plain(kind: Any) -> tuple[Any, bool]:
    """A declared type without its None and its list, and whether it is a list."""
    (kind,) = [one for one in get_args(kind) if one is not NoneType] if NoneType in get_args(kind) else [kind]
    return (get_args(kind)[0], True) if get_origin(kind) is list else (kind, False)


SETTINGS = [
    pytest.param(kind, one.name, *plain(get_type_hints(kind)[one.name]), id=f"{kind.__name__}.{one.name}")
    for kind in KINDS
    for one in fields(kind)
]
NUMBERS = [one for one in SETTINGS if one.values[2] in (int, float)]


def make(kind: type[Any], name: str, value: Any, several: bool) -> Any:
    return kind(**{name: [value] if several else value})


@pytest.mark.parametrize(("kind", "name", "wanted", "several"), NUMBERS)
def test_every_number_has_two_bounds_and_its_default_lies_within(kind, name, wanted, several):
    bounds = declared_bounds(kind)[name]
    assert bounds is not None
    assert -math.inf < bounds.low < bounds.high < math.inf
    default = getattr(kind(), name)
    for value in default if several else [default]:
        assert value is None or bounds.problem(value) is None


@pytest.mark.parametrize(("kind", "name", "wanted", "several"), NUMBERS)
def test_no_number_is_infinite_absurd_or_of_another_type(kind, name, wanted, several):
    for value in (math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**70, -(2**70), True, "1", [], {}):
        with pytest.raises(ConfigError) as caught:
            make(kind, name, value, several)
        assert name in str(caught.value)
        assert " must be " in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("kind", "name", "wanted", "several"), SETTINGS)
def test_what_is_of_another_type_is_refused_by_name(kind, name, wanted, several):
    wrong = 1.5 if wanted is not float else "1.5"
    with pytest.raises(ConfigError, match=rf"{name}.* must be "):
        make(kind, name, wrong, several)
    if several:
        with pytest.raises(ConfigError, match=rf"{name} must be a list, not 'a'"):
            kind(**{name: "a"})


@dataclass
class Example:
    share: float | None = field(default=0.5, metadata=between(0.0, 1.0))
    half_open: float = field(default=0.5, metadata=between(0.0, 1.0, high_open=True))
    width: int = field(default=3, metadata=between(1, 65_536))
    rate: int = field(default=16, metadata=between(1, 192, unit="kHz"))
    count: int = field(default=0, metadata=at_least(0, at_most=9))
    seconds: list[float] = field(default_factory=lambda: [1.0], metadata=above(0, at_most=60))
    threshold: float | None = field(default=-1.0, metadata=below(0, at_least=-9))
    score: float = field(default=-1.0, metadata=at_most(0, at_least=-9))

    def __post_init__(self) -> None:
        check_settings(self, "part")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.01}, "part.share must be between 0 and 1, or null, not 1.01"),
        ({"share": "0.5"}, "part.share must be a number, not '0.5'"),
        ({"half_open": 1}, "part.half_open must be at least 0 and below 1, not 1.0"),
        ({"half_open": None}, "part.half_open must be a number, not None"),
        ({"width": 0}, "part.width must be 1 to 65536, not 0"),
        ({"width": 3.0}, "part.width must be a whole number, not 3.0"),
        ({"width": 2**400}, "part.width must be 1 to 65536, not a whole number of 401 bits"),
        ({"width": True}, "part.width must be a whole number, not True"),
        ({"rate": 193}, "part.rate must be 1 to 192 kHz, not 193"),
        ({"count": -1}, "part.count must be 0 or more, not -1"),
        ({"count": 10}, "part.count must be at most 9, not 10"),
        ({"seconds": [1, 0]}, "part.seconds[1] must be above 0, not 0.0"),
        ({"seconds": [61]}, "part.seconds[0] must be at most 60, not 61.0"),
        ({"threshold": 0}, "part.threshold must be below 0, or null, not 0.0"),
        ({"share": math.nan}, "part.share must be between 0 and 1, not nan"),
        ({"threshold": math.nan}, "part.threshold must be a finite number, not nan"),
        ({"score": 0.1}, "part.score must be 0 or less, not 0.1"),
        ({"score": -10}, "part.score must be at least -9, not -10.0"),
    ],
)
def test_a_message_names_the_setting_the_bound_and_the_value(values, message):
    with pytest.raises(ConfigError) as caught:
        Example(**values)
    assert str(caught.value) == message


def test_the_bounds_themselves_are_allowed_where_they_are_closed():
    assert Example(share=0, half_open=0, width=65_536, count=9, seconds=[60, 1e-300], score=0).width == 65_536
    assert Example(share=1, width=1, count=0, threshold=-9, score=-9).threshold == -9


def test_what_is_spelled_otherwise_becomes_the_declared_type():
    settings = ModelConfig(cell="gru", units=np.int64(8), dropout=np.float32(0.5))
    assert settings == ModelConfig(cell=Cell.gru, units=8, dropout=0.5)
    assert (type(settings.units), type(settings.dropout)) == (int, float)
    assert AugmentConfig(speeds=(1, 2)).speeds == [1.0, 2.0]
    assert BeamConfig(lm=Path("a.lm")).lm == "a.lm"
    assert DataConfig(train=(Path("a.jsonl"), "b.jsonl")).train == ["a.jsonl", "b.jsonl"]


def test_a_text_without_end_and_a_section_of_another_type_are_refused():
    with pytest.raises(ConfigError, match=r"decoder\.lm must be a text without the character NUL"):
        BeamConfig(lm="a\0b")
    with pytest.raises(ConfigError, match="model must be a ModelConfig, not None"):
        TrainConfig(model=None)


def test_any_values_at_all_make_settings_or_one_error():
    rng = random.Random(3)
    values = [None, True, 0, 1, 2**64, -1, 0.5, math.nan, math.inf, "", "x", [], {}, [None], ["a"], object(), b"x", 1j]
    values += [
        member
        for kind in settings_names().values()
        if isinstance(kind, type) and issubclass(kind, Enum)
        for member in kind
    ]
    made = 0
    messages = []
    for _ in range(3000):
        kind = rng.choice(KINDS)
        names = rng.sample([one.name for one in fields(kind)], k=min(len(fields(kind)), rng.randint(1, 3)))
        try:
            kind(**{name: rng.choice(values) for name in names})
            made += 1
        except ConfigError as error:
            messages.append(str(error))
    assert 50 < made < 2950
    assert not any("\n" in message for message in messages)
