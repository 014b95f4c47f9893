"""Composes settings with Hydra: YAML and overrides in, checked dataclasses out. No other room imports Hydra.

The dataclasses of `asr.settings` are the schema and hold every default; `conf/` holds what differs from them and what a
user may choose between. The spelling of file names is made safe for Hydra's grammar here, and a mistyped key, option
or value is refused here, with its nearest neighbour.
"""

from __future__ import annotations

import difflib
import itertools
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings import commands, decoding
from asr.settings.checks import KINDS, shown
from asr.settings.yaml_text import first_line, to_settings

Settings = TypeVar("Settings")

ROOTS: dict[str, type[Any]] = {
    "train": commands.TrainConfig,
    "transcribe": commands.TranscribeConfig,
    "listen": commands.ListenConfig,
    "align": commands.AlignConfig,
    "prepare": commands.PrepareConfig,
    "evaluate": commands.EvaluateConfig,
    "doctor": commands.DoctorConfig,
    "lm": commands.LmConfig,
    "lexicon": commands.LexiconConfig,
    "tune": commands.TuneConfig,
}
"""The settings of each command that has any."""

_GROUP_SCHEMAS: dict[str, dict[str, type[Any]]] = {"decoder": dict(decoding.DECODERS)}


def conf_dir() -> Path:
    """The folder of the configuration files: in the package when it is installed, else beside it in the repository.

    Raises
    ------
    ConfigError
        If the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"the configuration files are missing from {package / 'conf'}: install asr again")


@cache
def register_schemas(*names: str) -> None:
    """Register the dataclasses of commands, of all by default, with Hydra; once each."""
    store = ConfigStore.instance()
    for command in names or ROOTS:
        kind = ROOTS[command]
        # A group's option may only replace its base class, not a sibling.
        bases = {one.name: decoding.DecoderConfig() for one in fields(kind) if one.name == "decoder"}
        store.store(name=f"{command}_schema", node=kind(**bases))
    for group, options in _GROUP_SCHEMAS.items():
        for option, kind in options.items():
            store.store(group=group, name=f"{option}_schema", node=kind)


@dataclass(frozen=True)
class Key:
    """A setting that a command takes."""

    name: str
    kind: Any
    default: Any
    help: str

    @property
    def is_text(self) -> bool:
        """Whether its value is free text, such as a path."""
        return _without_none(self.kind) is str

    @property
    def is_text_list(self) -> bool:
        """Whether its value is a list of texts."""
        return bool(_without_none(self.kind) == list[str])

    @property
    def choices(self) -> list[str]:
        """The values it can have, if they are few."""
        kind = _without_none(self.kind)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return list(kind.__members__)
        return ["true", "false"] if kind is bool else []


class Composer:
    """Composes the settings of one command; a context manager, for Hydra keeps global state.

    Parameters
    ----------
    command : str
        A key of `ROOTS`.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        # A composition takes a tenth of a second, and checking and composing want the same ones.
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __enter__(self) -> Composer:
        register_schemas(self.command)
        GlobalHydra.instance().clear()
        self._hydra = initialize_config_dir(str(conf_dir()), version_base="1.3", job_name=self.command)
        self._hydra.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hydra.__exit__(*error)

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The groups whose options this command takes, and their options."""
        folders = sorted(folder for folder in conf_dir().iterdir() if folder.is_dir())
        defaults = self._group_defaults()
        return {
            folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
            for folder in folders
            if folder.name in defaults
        }

    def _group_defaults(self) -> dict[str, Any]:
        """The default option of each group, from the command's own file."""
        primary = OmegaConf.load(conf_dir() / f"{self.command}.yaml")
        defaults: dict[str, Any] = {}
        for entry in typing.cast(DictConfig, primary).defaults:
            if OmegaConf.is_dict(entry):
                defaults |= {str(key): value for key, value in entry.items()}
        return defaults

    @property
    def group_defaults(self) -> dict[str, str | None]:
        """The option of each group that holds where none is named."""
        return {name: value for name, value in self._group_defaults().items() if name in self.groups}

    def keys(self, choices: Iterable[str] = ()) -> dict[str, Key]:
        """All settings by dotted name, as they are with some groups' options chosen (`decoder=beam`)."""
        settings = to_settings(self._compose(list(choices)))
        return {key.name: key for key in walk_keys(settings)}

    def compose(self, overrides: Sequence[str], *, multirun: bool = False) -> Any:
        """Settings with overrides.

        Parameters
        ----------
        overrides : sequence of str
            `key=value` and `group=option`, as a user types them.
        multirun : bool
            Allow several values for a key; only checked here, the default settings come back.

        Returns
        -------
        TrainConfig, TranscribeConfig or EvaluateConfig

        Raises
        ------
        ConfigError
            For an unknown key, group, option or value, naming the nearest valid one.
        """
        if multirun:
            self.check(overrides, multirun=True)
            return to_settings(self._compose([]))
        try:
            return to_settings(self._compose(self._quoted_for_hydra(overrides)))
        except (ConfigError, ValueError):  # ValueError: a whole number of more digits than Python reads
            self.check(overrides)  # says which one is wrong, and what is near it
            raise

    def _quoted_for_hydra(self, overrides: Sequence[str]) -> list[str]:
        """Overrides as Hydra's grammar reads them; unknown keys as they are.

        The types of the keys are those of the dataclasses, so that nothing is composed for it: with every class that a
        group can stand for, since an option that an experiment chooses is not known before the composition.
        """
        keys: dict[str, Key] = {}
        for group, options in _GROUP_SCHEMAS.items():
            if group in ROOTS[self.command].__dataclass_fields__:
                for kind in options.values():
                    keys |= {key.name: key for key in walk_keys(ROOTS[self.command](**{group: kind()}))}
        keys = keys or {key.name: key for key in walk_keys(ROOTS[self.command]())}
        pairs = [_split_override(override) for override in overrides]
        for name, _ in pairs:
            if name.startswith(("hydra.", "hydra/")):
                raise ConfigError(f"`asr {self.command}` has no setting {name!r}")
        return [
            f"{name}={_quote(keys[name], value, multirun=False) if name in keys else value}" for name, value in pairs
        ]

    def check(self, overrides: Sequence[str], *, multirun: bool = False) -> list[str]:
        """Refuse what cannot be used, and spell the rest so that Hydra reads it as it was meant; as in `compose`."""
        if not overrides:
            return []
        pairs = [_split_override(override) for override in overrides]
        groups = self.groups
        choices = []
        for name, value in pairs:
            if name in groups:
                for option in value.split(",") if multirun else [value]:
                    if option not in groups[name] and not (self._group_defaults()[name] is None and option == "null"):
                        raise ConfigError(
                            f"{name} has no option {option!r}{_did_you_mean(option, groups[name])}; "
                            f"there is {', '.join(groups[name]) or 'none'}"
                        )
                choices.append(f"{name}={value.split(',')[0]}")
        keys = self.keys(choices)
        safe = []
        for name, value in pairs:
            if name in groups or (name.startswith(("hydra.", "hydra/")) and multirun):
                safe.append(f"{name}={value}")
            elif name in keys:
                safe.append(f"{name}={_quote(keys[name], value, multirun=multirun)}")
            else:
                raise ConfigError(self._unknown_key(name, keys, groups))
        typed = [(keys[name], override) for override in safe if (name := override.partition("=")[0]) in keys]
        singles = [one for key, override in typed for one in self._single_values(key, override, multirun=multirun)]
        if multirun or not self._composes(safe):
            # Which value is at fault, a composition with each alone tells.
            for key, single in singles:
                self._check_value(key, single, choices)
        return safe

    def _composes(self, overrides: list[str]) -> bool:
        try:
            self._compose(overrides)
        except ConfigError:
            return False
        return True

    def _single_values(self, key: Key, override: str, *, multirun: bool) -> list[tuple[Key, str]]:
        """The values of an override, one unless it is a sweep, as overrides of their own.

        Raises
        ------
        ConfigError
            If the value cannot be parsed, or is a sweep where none is allowed.
        """
        try:
            parsed = OverridesParser.create().parse_override(override)
        except HydraException:
            raise ConfigError(f"{override}: the value cannot be read; put it in quotes within quotes") from None
        except ValueError:  # a whole number of more digits than Python reads
            value = override.partition("=")[2]
            raise ConfigError(f"{key.name} must be {_describe(key.kind)}, not {shown(value)}") from None
        if parsed.is_sweep_override() and not multirun:
            raise ConfigError(
                f"{override}: several values for one key; that is a sweep, for `asr {self.command} --multirun`, or "
                f"a list: {key.name}=[a,b]"
            )
        if not parsed.is_sweep_override():
            return [(key, override)]
        return [(key, f"{key.name}={value}") for value in parsed.sweep_string_iterator()]

    def _check_value(self, key: Key, override: str, choices: Sequence[str]) -> None:
        """Refuse a value that its setting cannot have, in words that name both."""
        if key.is_text:
            return  # any text will do
        try:
            self._compose([*choices, override])
        except ConfigError as error:
            value = override.partition("=")[2]
            if key.choices:
                raise ConfigError(
                    f"{key.name} must be one of {', '.join(key.choices)}, not {value!r}"
                    f"{_did_you_mean(value, key.choices)}"
                ) from None
            raise ConfigError(f"{key.name} must be {_describe(key.kind)}, not {shown(value)}") from error

    def _unknown_key(self, name: str, keys: dict[str, Key], groups: dict[str, list[str]]) -> str:
        message = f"`asr {self.command}` has no setting {name!r}"
        for group, options in groups.items():
            for option in options:
                if name.startswith(f"{group}.") and group != "experiment" and name in self.keys([f"{group}={option}"]):
                    return f"{message} with this {group}: it is of {group}={option}"
        neighbours = [*keys, *groups]
        last_parts = {key.rpartition(".")[2]: key for key in keys}
        if name in last_parts:
            return f"{message}; did you mean {last_parts[name]!r}?"
        near = _did_you_mean(name, neighbours) or _did_you_mean(name, last_parts)
        return f"{message}{near}; `asr {self.command} --help` lists all"

    def _compose(self, overrides: list[str]) -> DictConfig:
        known = tuple(overrides)
        if known not in self._composed:
            try:
                self._composed[known] = compose(self.command, overrides=overrides)
            except (HydraException, OmegaConfBaseException) as error:
                raise ConfigError(first_line(error)) from error
        return self._composed[known]


def walk_keys(settings: Any, prefix: str = "") -> list[Key]:
    """All settings of a dataclass and of those within it, with the docstring under each field."""
    kind = type(settings)
    types = typing.get_type_hints(decoding.BeamSettings if kind is decoding.AutoConfig else kind)
    helps = _field_docs(typing.cast(Any, kind))
    keys = []
    for name in _in_order_of_help(kind):
        value = getattr(settings, name)
        if is_dataclass(value):
            keys += walk_keys(value, f"{prefix}{name}.")
        else:
            keys.append(Key(prefix + name, types[name], value, helps.get(name, "")))
    return keys


def _in_order_of_help(kind: type[Any]) -> list[str]:
    """The fields of a dataclass: first the bundle, then the others, those that it shares with other commands last."""
    names = [one.name for one in fields(kind)]
    shared = {one.name for base in kind.__bases__ if is_dataclass(base) for one in fields(base)}
    return sorted(names, key=lambda name: (name != "bundle", name in shared if shared != set(names) else False))


@cache
def _field_docs(kind: type[Any]) -> dict[str, str]:
    """The docstrings under the fields of a class, which Python itself does not keep."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in kind.__bases__:
        if is_dataclass(base):
            docs |= _field_docs(base)
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = typing.cast(ast.ClassDef, definition).body
    for statement, following in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def _split_override(override: str) -> tuple[str, str]:
    name, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w./@]*", name):
        raise ConfigError(f"{override!r} is neither a file nor a setting: a setting is written key=value")
    return name, value


def _quote(key: Key, value: str, *, multirun: bool) -> str:
    """A value of a path or text key as Hydra's grammar wants it: any character may stand in a file name."""
    if key.is_text:
        if _is_quoted(value):
            return value
        optional = _without_none(key.kind) is not key.kind
        several = multirun and "," in value and not typed_path(value).exists()
        parts = value.split(",") if several else [value]
        return ",".join(part if part == "null" and optional else _quoted(part) for part in parts)
    if key.is_text_list:
        if typed_path(value).exists() or not value.startswith("["):
            return f"[{value if _is_quoted(value) else _quoted(value)}]"
        inner = value.removeprefix("[").removesuffix("]")
        parts = [part.strip() for part in re.findall(r"""'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[^,]+""", inner)]
        return "[" + ",".join(part if _is_quoted(part) else _quoted(part) for part in parts) + "]"
    return value


def _is_quoted(value: str) -> bool:
    return len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""


def _quoted(value: str) -> str:
    # In Hydra's grammar a backslash escapes only a quote, or a backslash before one; ${ would be an interpolation.
    escaped = re.sub(r"(\\*)(')", lambda match: match[1] * 2 + "\\'", value)
    escaped = re.sub(r"(\\+)$", lambda match: match[1] * 2, escaped)
    return "'" + escaped.replace("${", "\\${") + "'"


def _without_none(kind: Any) -> Any:
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in typing.get_args(kind) and len(parts) == 1 else kind


def _describe(kind: Any) -> str:
    kind = _without_none(kind)
    if typing.get_origin(kind) is list:
        return "a list in brackets, such as [a,b]"
    return KINDS.get(kind, str(kind))


def _did_you_mean(name: str, valid: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
