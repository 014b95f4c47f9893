"""Composes settings with Hydra: YAML and overrides in, checked dataclasses out.

The dataclasses of `asr.settings` are the schema and hold every default; `conf/` holds what differs from them and what a
user may choose between, and folders of the user's own are searched before it. The spelling of file names is made safe
for Hydra's grammar (`overrides`), and a mistyped key, option or value is refused here, with its nearest neighbour and,
where it is in a file, with file and line.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml  # type: ignore[import-untyped]
from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from asr.cli.arguments import Arguments
from asr.cli.hydra_settings import refuse_hydra_setting
from asr.cli.overrides import (
    SEARCH_PATH,
    Key,
    TypedOverride,
    flat,
    for_hydra,
    parse_value,
    read_override,
    search_path,
    shown_value,
    single_values,
    without_none,
)
from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings import commands, decoding
from asr.settings.checks import KINDS, shown
from asr.settings.sweeps import StudyConfig
from asr.settings.yaml_text import first_line, parse_yaml, place_of, syntax_problem, to_settings

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
    "average": commands.AverageConfig,
    "tune": commands.TuneConfig,
    "card": commands.CardConfig,
    "push": commands.PushConfig,
    "pull": commands.PullConfig,
}
"""The settings of each command that has any."""

FOLDER_VARIABLE = "ASR_CONFIG_DIR"
_RECIPE = "_file_"
"""the option of `experiment` that a file of settings becomes"""
_VERSION = "1.3"
# The last four are what Hydra raises for a defaults list or a file of another shape; ValueError also for a whole number
# of more digits than Python reads.
_FAILURES = (
    HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, AttributeError, AssertionError,
)  # fmt: skip
GROUP_SCHEMAS: dict[str, dict[str, type[Any]]] = {"decoder": dict(decoding.DECODERS)}


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
    """Register the dataclasses of commands, of all by default, and those of sweeps with Hydra; once each."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=StudyConfig(), provider="asr")
    for command in names or ROOTS:
        kind = ROOTS[command]
        # A group's option may only replace its base class, not a sibling.
        bases = {one.name: decoding.DecoderConfig() for one in fields(kind) if one.name == "decoder"}
        store.store(name=f"{command}_schema", node=kind(**bases))
    for group, options in GROUP_SCHEMAS.items():
        for option, kind in options.items():
            store.store(group=group, name=f"{option}_schema", node=kind)


class Composer:
    """Composes the settings of one command; a context manager, for Hydra keeps global state.

    Parameters
    ----------
    command : str
        A key of `ROOTS`.
    folders : sequence of str
        Of the user's own configuration: paths, file:// or pkg:// addresses; those of `ASR_CONFIG_DIR` are added.
    config_name : str, optional
        The primary configuration, instead of the command's.
    recipe : Path, optional
        A file of settings, such as `config.yaml` of a run, that is used as an experiment.
    """

    def __init__(
        self,
        command: str,
        folders: Sequence[str] = (),
        *,
        config_name: str | None = None,
        recipe: Path | None = None,
    ) -> None:
        self.command = command
        self._name = config_name or command
        self._folders = [_address(folder, "--config-dir") for folder in folders]
        named = os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep)
        self._folders += [_address(folder, FOLDER_VARIABLE) for folder in named if folder]
        self._recipe_path = recipe
        self._recipe: DictConfig | None = None
        # A composition takes a tenth of a second, and checking and composing want the same ones.
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, str | None]]] = {}

    @classmethod
    def from_arguments(cls, command: str, split: Arguments, *, recipe: Path | None = None) -> Composer:
        """The composer that a command line asks for."""
        folders = [split.values["--config-dir"]] if "--config-dir" in split.values else []
        return cls(
            command,
            [*folders, *search_path(split.overrides)],
            config_name=split.values.get("--config-name"),
            recipe=recipe,
        )

    def __enter__(self) -> Composer:
        register_schemas(self.command)
        if self._recipe_path is not None:
            self._recipe = _read_recipe(self._recipe_path)
            ConfigStore.instance().store(_RECIPE, self._recipe, group="experiment", package="_global_")
        path = create_config_search_path(str(conf_dir()))
        for folder in reversed(self._folders):
            path.prepend("own folder", folder, anchor=SearchPathQuery(provider="main"))
        # A program that imports this package may use Hydra itself.
        self._outer = GlobalHydra.instance().hydra, version.getbase()
        GlobalHydra.instance().clear()
        version.setbase(_VERSION)
        self.hydra = Hydra.create_main_hydra2(task_name=self.command, config_search_path=path)
        try:
            self._check_name()
        except ConfigError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        hydra, base = self._outer
        GlobalHydra.instance().hydra = hydra
        version.VersionBase.instance().version_base = base

    @property
    def config_name(self) -> str:
        """The name of the primary configuration."""
        return self._name

    @property
    def loader(self) -> ConfigLoader:
        """Hydra's loader, with the folders of this composer."""
        return self.hydra.config_loader

    @property
    def recipe_names(self) -> set[str]:
        """The names of the settings in the file of settings, if there is one."""
        if self._recipe is None:
            return set()
        values = typing.cast(dict[str, Any], OmegaConf.to_container(self._recipe))
        return {name.removeprefix(".") for name, _ in flat(values, "")}

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The groups whose options this command takes, and their options; those of the user's own are among them."""
        shipped = {path.name for path in conf_dir().iterdir() if path.is_dir()}
        defaults = self._defaults
        options: dict[str, set[str]] = {}
        for source in self.loader.get_sources():
            if source.provider in ("own folder", "main") and source.available():
                for group, found in _groups_in(source):
                    if group in defaults or (group.split("/")[0] not in shipped | {"hydra"}):
                        options.setdefault(group, set()).update(found)
        return {group: sorted(found) for group, found in sorted(options.items())}

    @property
    def config_names(self) -> list[str]:
        """The primary configurations in the folders of the user's own, and that of the command."""
        names = {self.command}
        for source in self.loader.get_sources():
            if source.provider == "own folder" and source.available():
                names |= set(source.list("", ObjectType.CONFIG))
        return sorted(names)

    @cached_property
    def _defaults(self) -> dict[str, str | None]:
        _, choices = self._compose([])
        return {group: option for group, option in choices.items() if not group.startswith("hydra/")}

    @property
    def group_defaults(self) -> dict[str, str | None]:
        """The option of each group that holds where none is named; of a group that is not used, there is none."""
        return {group: self._defaults.get(group) for group in self.groups}

    def is_added(self, group: str) -> bool:
        """Whether a group has to be added (`+group=option`), since the command does not use it by itself."""
        return group in self.groups and group not in self._defaults

    def keys(self, choices: Iterable[str] = ()) -> dict[str, Key]:
        """All settings by dotted name, as they are with some groups' options chosen (`decoder=beam`)."""
        settings = self._to_settings(self._compose(list(choices))[0])
        return {key.name: key for key in walk_keys(settings)}

    def compose(self, overrides: Sequence[str], *, multirun: bool = False) -> Any:
        """Settings with overrides.

        Parameters
        ----------
        overrides : sequence of str
            As a user types them: `key=value`, `group=option`, and the other forms of Hydra.
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
            return self._to_settings(self._compose(self._with_recipe([]))[0])
        return self._to_settings(self.node(overrides), overrides)

    def node(self, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
        """The configuration as Hydra composes it, interpolations unresolved; arguments and errors as in `compose`."""
        typed = [read_override(override) for override in overrides]
        for one in typed:
            refuse_hydra_setting(one, self.command, multirun=with_hydra)
        self._refuse_with_recipe(typed)
        if any(one.prefix or one.package for one in typed):
            # Hydra would add what is no setting, and delete one, which the dataclasses then lack.
            self.check(overrides, multirun=with_hydra)
        safe = self._for_hydra(typed, multirun=False)
        try:
            if with_hydra:
                return self._load(safe)
            return self._compose(safe)[0]
        except (ConfigError, ValueError) as error:  # ValueError: a whole number of more digits than Python reads
            self.check(overrides)  # says which one is wrong, and what is near it
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(first_line(error)) from error

    def multirun_config(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a sweep, with Hydra's own settings.

        Parameters
        ----------
        overrides : sequence of str
            As `check` returns them.

        Raises
        ------
        ConfigError
            For a setting of Hydra that there is not, naming the nearest.
        """
        typed = [read_override(override) for override in overrides]
        for one in typed:
            options = self.loader.get_group_options(one.name) if one.name.startswith("hydra/") else []
            if options and one.value is not None and one.value not in options:
                near = did_you_mean(one.value, options)
                raise ConfigError(f"{one.name} has no option {one.value!r}{near}; there is {', '.join(options)}")
        try:
            return self.hydra.compose_config(self._name, list(overrides), run_mode=RunMode.MULTIRUN)
        except _FAILURES as error:
            without = [one.text for one in typed if not one.name.startswith("hydra.")]
            known = self.hydra.compose_config(self._name, without, run_mode=RunMode.MULTIRUN).hydra
            container = typing.cast(dict[str, Any], OmegaConf.to_container(known))
            names = {name for name, _ in flat(container, "hydra") if not name.endswith("._target_")}
            for one in typed:
                within = one.name.startswith(("hydra.sweeper.params.", "hydra.job.env_set."))
                if one.name.startswith("hydra.") and one.name not in names and not within:
                    near = did_you_mean(one.name, names)
                    if not near and one.name.startswith("hydra.launcher."):
                        near = f" with hydra/launcher={known.runtime.choices['hydra/launcher']}; name another launcher"
                    raise ConfigError(f"{one.text}: Hydra has no setting {one.name!r}{near}") from None
            raise ConfigError(self._message(error)) from error

    def job_config(self, master: DictConfig, overrides: Sequence[str]) -> DictConfig:
        """The configuration of one job of a sweep, with Hydra's own settings."""
        try:
            return self.loader.load_sweep_config(master, list(overrides))
        except _FAILURES as error:
            raise ConfigError(self._message(error)) from error

    def _with_recipe(self, overrides: list[str]) -> list[str]:
        return overrides if self._recipe is None else [f"experiment={_RECIPE}", *overrides]

    def _refuse_with_recipe(self, typed: Sequence[TypedOverride]) -> None:
        if self._recipe is None:
            return
        for one in typed:
            if one.name == "experiment" or one.name in self._recipe:
                if one.name in ROOTS[self.command].__dataclass_fields__ and one.name not in self._defaults:
                    continue  # a setting of its own
                names = sorted(self.recipe_names)
                near = next((name for name in names if name.startswith(f"{one.name}.")), names[0])
                raise ConfigError(
                    f"{one.text}: {self._recipe_path} sets the values of this group itself: type single settings, "
                    f"such as {near}=VALUE"
                )

    def _for_hydra(self, typed: Sequence[TypedOverride], *, multirun: bool) -> list[str]:
        """Overrides as Hydra's grammar reads them; unknown keys as they are.

        The types of the keys are those of the dataclasses, so that nothing is composed for it: with every class that a
        group can stand for, since an option that an experiment chooses is not known before the composition.
        """
        keys = _declared_keys(self.command)
        safe = [
            for_hydra(one, None if one.package else keys.get(one.name), multirun=multirun)
            for one in typed
            if one.name != SEARCH_PATH
        ]
        return self._with_recipe(safe)

    def check(self, overrides: Sequence[str], *, multirun: bool = False) -> list[str]:
        """Refuse what cannot be used, and spell the rest so that Hydra reads it as it was meant; as in `compose`."""
        typed = [read_override(override) for override in overrides]
        for one in typed:
            refuse_hydra_setting(one, self.command, multirun=multirun)
        self._refuse_with_recipe(typed)
        safe = self._for_hydra(typed, multirun=multirun)
        if not typed:
            return safe
        choices = self._with_recipe([])
        # A dictionary sets settings of a group's section, as in Hydra.
        of_groups = [one for one in typed if one.name in self.groups and not (one.value or "").startswith("{")]
        for one in of_groups:
            choices += self._check_group(one, multirun=multirun)
        keys = self.keys(choices)
        for one in typed:
            if one not in of_groups and not one.is_hydra:
                text = for_hydra(one, None if one.package else keys.get(one.name), multirun=multirun)
                self._check_key(one, text, keys, choices, multirun=multirun)
        return safe

    def _check_group(self, one: TypedOverride, *, multirun: bool) -> list[str]:
        """Refuse an option that a group does not have, and a form of override that it cannot have.

        Returns
        -------
        list of str
            The override with its first option, for the settings that there are with it.
        """
        group, options, added = one.name, self.groups[one.name], self.is_added(one.name)
        if one.prefix == "++":
            raise ConfigError(f"{one.text}: ++ is for settings: type {'+' if added else ''}{group}={one.value}")
        if one.prefix == "~":
            if added:
                raise ConfigError(
                    f"{one.text}: `asr {self.command}` does not use {group} by itself: leave ~{group} out"
                )
            if group in GROUP_SCHEMAS:
                default = self._defaults[group]
                raise ConfigError(
                    f"{one.text}: `asr {self.command}` needs a {group}: type {group}={default}, the default"
                )
            if one.value not in (None, self._defaults[group]):
                raise ConfigError(f"{one.text}: {group} is {self._defaults[group]} here: type ~{group}")
            return [one.text]
        if one.prefix == "+" and not added and one.package in (None, group):
            raise ConfigError(
                f"{one.text}: {group} is chosen already, + is for groups that are not: type {one.text[1:]}"
            )
        if one.prefix == "" and added:
            raise ConfigError(f"{one.text}: `asr {self.command}` does not use {group} by itself: type +{one.text}")
        if one.prefix == "" and one.package is not None and f"{group}@{one.package}" not in self._defaults:
            raise ConfigError(
                f"{one.text}: no default option of {group} goes to {one.package!r}: type {group}={one.value}"
            )
        parsed = parse_value(one.text)
        if parsed.is_sweep_override() and not multirun:
            self._refuse_sweep(one)
        texts = single_values(parsed)
        for text in texts:
            named = [part.strip("'\"") for part in text.strip("[]").split(",")] if text.startswith("[") else [text]
            for option in named:
                known = option in options or self._is_config(f"{group}/{option}")
                if not known and not (option == "null" and (added or self._defaults.get(group) is None)):
                    if option == "null":
                        raise ConfigError(f"{one.text}: type ~{group} for no option of {group}")
                    raise ConfigError(
                        f"{group} has no option {option!r}{did_you_mean(option, options)}; "
                        f"there is {', '.join(options) or 'none'}"
                    )
        return [f"{one.head}={texts[0]}"] if texts else []

    def _is_config(self, path: str) -> bool:
        return any(source.is_config(path) for source in self.loader.get_sources() if source.available())

    def _refuse_sweep(self, one: TypedOverride) -> None:
        raise ConfigError(
            f"{one.text}: several values for one key; that is a sweep, for `asr "
            f"{self.command if self.command == 'train' else 'train'} --multirun`, or a list: {one.name}=[a,b]"
        )

    def _check_key(
        self, one: TypedOverride, text: str, keys: dict[str, Key], choices: list[str], *, multirun: bool
    ) -> None:
        """Refuse an unknown setting, a form of override that it cannot have, and a value that it cannot have."""
        name = one.name
        if one.package is not None:
            raise ConfigError(
                f"{one.text}: @ chooses the section for an option of a group, and {name!r} is none; "
                f"the groups are {', '.join(self.groups) or 'none'}"
            )
        section = [key for key in keys if key.startswith(f"{name}.")]
        if name not in keys and not section:
            what = {"": "", "~": f", nor is there a file {one.text!r}"}.get(
                one.prefix, f": {one.prefix} cannot add one, for the settings are fixed"
            )
            raise ConfigError(self._unknown_key(name, keys) + what)
        if one.prefix == "~":
            default = "" if name not in keys else f": its default is {name}={shown_value(keys[name].default)}"
            raise ConfigError(f"{one.text}: a setting cannot be deleted, only groups can (~augment){default}")
        if one.prefix == "+":
            raise ConfigError(
                f"{one.text}: there is a setting {name!r} already, + is for new ones: type {one.text[1:]}"
            )
        try:
            parsed = parse_value(text)
        except ValueError:  # a whole number of more digits than Python reads
            raise ConfigError(f"{name} must be {_describe(keys[name].kind)}, not {shown(one.value)}") from None
        if parsed.is_sweep_override() and not multirun:
            self._refuse_sweep(one)
        if section:
            value = None if parsed.is_sweep_override() else parsed.value()
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{one.text}: {name} is a section of settings: type {section[0]}=VALUE, or "
                    f"{name}={{{section[0].removeprefix(name + '.')}:VALUE}}"
                )
            for inner, found in flat(value, name):
                if inner not in keys:
                    raise ConfigError(self._unknown_key(inner, keys))
                self._check_value(keys[inner], found, str(found), choices)
            return
        if parsed.is_sweep_override():
            for single in single_values(parsed):
                self._check_value(keys[name], parse_value(f"{name}={single}").value(), single, choices)
        else:
            self._check_value(keys[name], parsed.value(), one.value or "", choices)

    def _check_value(self, key: Key, value: Any, typed: str, choices: list[str]) -> None:
        """Refuse a value of another type than its setting has, in words that name both."""
        node = self._compose(choices)[0].copy()
        try:
            OmegaConf.update(node, key.name, value, merge=True)
            OmegaConf.select(node, key.name)
            if isinstance(value, dict):
                raise ConfigError(f"{key.name} must be {_describe(key.kind)}, not {shown(typed)}")
        except InterpolationKeyError as error:
            missing = re.search(r"Interpolation key '(.*?)'", str(error))
            name = missing[1] if missing else ""
            raise ConfigError(
                f"{key.name}={typed}: ${{{name}}} names no setting{did_you_mean(name, self.keys(choices))} "
                "(in a file name, type \\${)"
            ) from None
        except OmegaConfBaseException as error:
            if "${" in str(value):
                raise ConfigError(f"{key.name}={typed}: {first_line(error)}") from None
            if key.choices:
                raise ConfigError(
                    f"{key.name} must be one of {', '.join(key.choices)}, not {typed!r}"
                    f"{did_you_mean(typed, key.choices)}"
                ) from None
            raise ConfigError(f"{key.name} must be {_describe(key.kind)}, not {shown(typed)}") from None

    def _unknown_key(self, name: str, keys: dict[str, Key]) -> str:
        message = f"`asr {self.command}` has no setting {name!r}"
        for group, options in self.groups.items():
            for option in options:
                if group in GROUP_SCHEMAS and name.startswith(f"{group}.") and name in self.keys([f"{group}={option}"]):
                    return f"{message} with this {group}: it is of {group}={option}"
        neighbours = [*keys, *self.groups]
        last_parts = {key.rpartition(".")[2]: key for key in keys}
        if name in last_parts:
            return f"{message}; did you mean {last_parts[name]!r}?"
        near = did_you_mean(name, neighbours) or did_you_mean(name, last_parts)
        return f"{message}{near}; `asr {self.command} --help` lists all"

    def _check_name(self) -> None:
        if not self._is_config(self._name):
            names = self.config_names
            folders = ", ".join(folder.removeprefix("file://") for folder in self._folders)
            raise ConfigError(
                f"--config-name: there is no {self._name!r}{did_you_mean(self._name, names)}; "
                f"it is a file {self._name}.yaml in {folders or 'the folder that --config-dir names'}"
            )

    def _to_settings(self, node: DictConfig, overrides: Sequence[str] = ()) -> Any:
        kind = ROOTS[self.command]
        if OmegaConf.get_type(node) is not kind:
            raise ConfigError(
                f"--config-name {self._name}: this is no configuration of `asr {self.command}`: its defaults list must "
                f"begin with {self.command}, or with {self.command}_schema"
            )
        try:
            return to_settings(node)
        except ConfigError as error:
            key = str(error).split(" ", 1)[0].split("[")[0]
            names = {read_override(override).name for override in overrides}
            if key in _declared_keys(self.command) and not names & {key, key.split(".")[0]}:
                place = self._place_in_files(key, overrides)
                if place:
                    raise ConfigError(f"{place}: {error}") from None
            if "${" in "".join(overrides):
                self.check(overrides)
            missing = re.match(r"Interpolation key '(.*?)' not found", str(error))
            if missing:
                values = typing.cast(dict[str, Any], OmegaConf.to_container(node, resolve=False))
                for name, value in flat(values, ""):
                    key = name.removeprefix(".")
                    if f"${{{missing[1]}" in str(value) and (place := self._place_in_files(key, overrides)):
                        near = did_you_mean(missing[1], _declared_keys(self.command))
                        raise ConfigError(f"{place}: {key}: ${{{missing[1]}}} names no setting{near}") from None
            raise

    def _place_in_files(self, key: str, overrides: Sequence[str]) -> str | None:
        """File and line that set a key last, of those that were composed."""
        safe = self._for_hydra([read_override(override) for override in overrides], multirun=False)
        defaults = self.loader.compute_defaults_list(self._name, safe, RunMode.RUN).defaults
        for default in reversed(defaults):
            place = self._place(default.config_path or "", key, default.package or "")
            if place and ":" in place.rpartition(os.sep)[2]:
                return place
        return None

    def _place(self, config_path: str, key: str, package: str = "") -> str | None:
        """The file of a configuration, and the line on which it sets a key if it does."""
        path = self._file_of(config_path)
        if path is None:
            return None
        text, name = path.read_text("utf-8"), _shown_path(path)
        return place_of(text, key.removeprefix(f"{package}.") if package else key, name)

    def _file_of(self, config_path: str) -> Path | None:
        if config_path == f"experiment/{_RECIPE}":
            return self._recipe_path
        for source in self.loader.get_sources():
            if source.scheme() == "file" and (path := Path(source.path) / f"{config_path}.yaml").is_file():
                return path
        return None

    def _siblings(self, config_path: str) -> set[str]:
        """The options that there are where a configuration is missing."""
        group = config_path.rpartition("/")[0]
        sources = [one for one in self.loader.get_sources() if one.available() and (not group or one.is_group(group))]
        return {name for source in sources for name in source.list(group, ObjectType.CONFIG)}

    def _load(self, overrides: list[str]) -> DictConfig:
        try:
            return compose(self._name, overrides=overrides, return_hydra_config=True)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._not_text()}: not UTF-8 text") from error
        except _FAILURES as error:
            raise ConfigError(self._message(error, overrides)) from error

    def _compose(self, overrides: list[str]) -> tuple[DictConfig, dict[str, str | None]]:
        """The configuration without Hydra's own settings, and the options that were chosen of groups."""
        known = tuple(overrides)
        if known not in self._composed:
            node = self._load(overrides)
            with open_dict(node):
                choices = dict(node.hydra.runtime.choices)
                del node["hydra"]
            self._composed[known] = node, choices
        return self._composed[known]

    def _not_text(self) -> str:
        for source in self.loader.get_sources():
            for path in sorted(Path(source.path).rglob("*.yaml")) if source.scheme() == "file" else ():
                try:
                    path.read_text("utf-8")
                except UnicodeDecodeError:
                    return _shown_path(path)
        return self._name

    def _suspect(self, overrides: Sequence[str]) -> str:
        """The file that is at fault where an error names none: that of the only option chosen, or the primary one."""
        sources = [one for one in self.loader.get_sources() if one.provider in ("own folder", "main")]
        groups = {group for source in sources if source.available() for group, _ in _groups_in(source)}
        typed = [one for one in map(read_override, overrides) if one.name in groups]
        paths = [f"{one.name}/{one.value}" for one in typed if self._file_of(f"{one.name}/{one.value}") is not None]
        path = self._file_of(paths[0] if len(paths) == 1 else self._name)
        return _shown_path(path) if path is not None and len(paths) < 2 else ", ".join(paths)

    def _message(self, error: Exception, overrides: Sequence[str] = ()) -> str:
        """What is wrong, on one line: with file and line where a file is at fault."""
        if isinstance(error, yaml.YAMLError):
            mark = getattr(error, "problem_mark", None)
            return syntax_problem(error, _shown_path(Path(mark.name)) if mark else self._name)
        text = str(error) or str(error.__cause__ or "")
        within = re.match(r"In '([^']+)': (\w+) raised while composing config:\n(.*)", text, re.DOTALL)
        if not within:
            cause = error.__cause__
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            message = lines[0] if lines else type(error).__name__
            if isinstance(cause, OmegaConfBaseException) and first_line(cause) not in message:
                message = f"{message}: {first_line(cause)}"
            named = re.match(r"In '([^']+)'", message)
            place = self._place(named[1], "defaults") if named else None
            missing = re.search(r"Could not (?:load|find) '([^']+)'", message)
            near = did_you_mean(missing[1].rpartition("/")[2], self._siblings(missing[1])) if missing else ""
            if place is None and not isinstance(error, OmegaConfBaseException | OverrideParseException):
                place = self._suspect(overrides)
            return f"{place}: {message.split(': ', 1)[-1].rstrip('.') if named else message}{near}"
        config_path, _, detail = within.groups()
        path = self._file_of(config_path)
        if path is not None:
            try:
                parse_yaml(path.read_text("utf-8"), _shown_path(path))
            except ConfigError as found:  # a list, or one word
                return str(found)
        full_key = (re.search(r"full_key: (\S+)", detail) or ["", ""])[1]
        place = self._place(config_path, full_key, self._package_of(config_path)) or config_path
        keys = _declared_keys(self.command)
        if re.match(r"Key '.*' not in", detail):
            return f"{place}: {self._unknown_name(full_key, keys)}"
        if full_key in keys and (value := re.match(r"(?:Value|Invalid value) '(.*?)'[ ,]", detail)):
            key = keys[full_key]
            if key.choices:
                choices = ", ".join(key.choices)
                near = did_you_mean(value[1], key.choices)
                return f"{place}: {full_key} must be one of {choices}, not {value[1]!r}{near}"
            return f"{place}: {full_key} must be {_describe(key.kind)}, not {value[1]!r}"
        merge = re.match(r"Merge error: \w+ is not a subclass of (\w+)\. value: (.*)", detail)
        if merge:  # the message of OmegaConf names no key
            kinds = {one.name: one.type for one in fields(ROOTS[self.command]) if merge[1] in str(one.type)}
            for section in kinds:
                place = self._place(config_path, section) or place
                return f"{place}: {section} is a section of settings, one per line below it, not {shown(merge[2])}"
        name = f"{full_key}: " if full_key else ""
        return f"{place}: {name}{detail.splitlines()[0]}"

    def _package_of(self, config_path: str) -> str:
        group = config_path.rpartition("/")[0]
        return "" if group in ("experiment", "sweep") else group.replace("/", ".")

    def _unknown_name(self, name: str, keys: dict[str, Key]) -> str:
        last_parts = {key.rpartition(".")[2]: key for key in keys}
        near = did_you_mean(name, keys) or did_you_mean(name.rpartition(".")[2], last_parts)
        section = name.split(".")[0]
        if not near and not any(key.startswith(f"{section}.") for key in keys):
            near = " (a file of a group of its own sets values of the command if it begins with `# @package _global_`)"
        return f"`asr {self.command}` has no setting {name!r}{near}"


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


@cache
def _declared_keys(command: str) -> dict[str, Key]:
    """The settings of a command by the types of the dataclasses, with those of every class that a group stands for."""
    keys: dict[str, Key] = {}
    for group, options in GROUP_SCHEMAS.items():
        if group in ROOTS[command].__dataclass_fields__:
            for kind in options.values():
                keys |= {key.name: key for key in walk_keys(ROOTS[command](**{group: kind()}))}
    return keys or {key.name: key for key in walk_keys(ROOTS[command]())}


def _address(folder: str, origin: str) -> str:
    """A folder as Hydra's search path has it.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """
    if folder.startswith("pkg://"):
        return folder
    path = typed_path(folder.removeprefix("file://"))
    if not path.is_dir():
        raise ConfigError(f"{origin}: {path} is no folder{_folder_near(path)}")
    return f"file://{path.resolve()}"


def _folder_near(path: Path) -> str:
    beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, beside)


def _shown_path(path: Path) -> str:
    """A path as the user may have typed it: relative where it is below the working directory."""
    folder = Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _groups_in(source: Any, parent: str = "") -> Iterable[tuple[str, list[str]]]:
    for name in source.list(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if name.startswith((".", "__")):
            continue
        options = source.list(group, ObjectType.CONFIG)
        if options:
            yield group, options
        yield from _groups_in(source, group)


def _read_recipe(path: Path) -> DictConfig:
    """The settings of a file, such as `config.yaml` of a run.

    Raises
    ------
    ConfigError
        If it is no YAML, or has a defaults list.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    node = parse_yaml(text, str(path))
    if "defaults" in node or "hydra" in node:
        name = "defaults" if "defaults" in node else "hydra"
        raise ConfigError(
            f"{place_of(text, name, str(path))}: a file of settings has no {name!r}: put it into a folder as "
            f"experiment/{path.name} and type --config-dir FOLDER experiment={path.stem}"
        )
    return node


def _describe(kind: Any) -> str:
    kind = without_none(kind)
    if typing.get_origin(kind) is list:
        return "a list in brackets, such as [a,b]"
    return KINDS.get(kind, str(kind))


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """The nearest of some names, as the end of a message."""
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
