"""Composes settings with Hydra: YAML and overrides to validated dataclasses.

The dataclasses of `asr.settings` are the schema and hold every default; `conf/` holds values that differ from them, and
the options of groups; folders of the user's own are searched before it. Values are quoted for Hydra's grammar
(`overrides`). A mistyped key, option or value is refused with its nearest neighbour (`composition_checks`), and where a
file has it, with file and line (`composition_errors`).
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from asr.cli.arguments import Arguments, did_you_mean
from asr.cli.composition_checks import check_overrides, refuse_with_recipe
from asr.cli.composition_errors import FAILURES, describe_error, locate
from asr.cli.composition_files import OWN_FOLDER, RECIPE, ConfigFiles, own_folders, read_recipe
from asr.cli.composition_schemas import declared_keys, register_schemas, walk_keys
from asr.cli.hydra_settings import refuse_hydra_setting
from asr.cli.overrides import SEARCH_PATH, Key, TypedOverride, flat, for_hydra, read_override, search_path
from asr.cli.roots import ROOTS, conf_dir
from asr.errors import ConfigError
from asr.settings.yaml_text import first_line, to_settings

_VERSION = "1.3"


class Composer:
    """Composes the settings of one command; a context manager, because Hydra keeps global state.

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
        self._folders = own_folders(folders)
        self._recipe_path = recipe
        self.recipe: DictConfig | None = None
        # A composition takes a tenth of a second, and checking and composing use the same ones.
        self._composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, str | None]]] = {}

    @classmethod
    def from_arguments(cls, command: str, split: Arguments, *, recipe: Path | None = None) -> Composer:
        """The composer for a command line."""
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
            self.recipe = read_recipe(self._recipe_path)
            ConfigStore.instance().store(RECIPE, self.recipe, group="experiment", package="_global_")
        path = create_config_search_path(str(conf_dir()))
        for folder in reversed(self._folders):
            path.prepend(OWN_FOLDER, folder, anchor=SearchPathQuery(provider="main"))
        # A program that imports this package may use Hydra itself.
        self._outer = GlobalHydra.instance().hydra, version.getbase()
        GlobalHydra.instance().clear()
        version.setbase(_VERSION)
        self.hydra = Hydra.create_main_hydra2(task_name=self.command, config_search_path=path)
        self.files = ConfigFiles(self.loader, self._recipe_path)
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
        if self.recipe is None:
            return set()
        values = typing.cast(dict[str, Any], OmegaConf.to_container(self.recipe))
        return {name.removeprefix(".") for name, _ in flat(values, "")}

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The groups whose options this command takes, and their options, including the user's own."""
        shipped = {path.name for path in conf_dir().iterdir() if path.is_dir()} | {"hydra"}
        return {
            group: sorted(options)
            for group, options in sorted(self.files.groups().items())
            if group in self.defaults or group.split("/")[0] not in shipped
        }

    @property
    def config_names(self) -> list[str]:
        """The primary configurations in the folders of the user's own, and that of the command."""
        return sorted({self.command, *self.files.own_names()})

    @cached_property
    def defaults(self) -> dict[str, str | None]:
        """The option of each group that the command uses."""
        _, choices = self._compose([])
        return {group: option for group, option in choices.items() if not group.startswith("hydra/")}

    @property
    def group_defaults(self) -> dict[str, str | None]:
        """The default option of each group; None for a group that the command does not use by itself."""
        return {group: self.defaults.get(group) for group in self.groups}

    def is_added(self, group: str) -> bool:
        """Whether a group has to be added (`+group=option`), since the command does not use it by itself."""
        return group in self.groups and group not in self.defaults

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
            return self._to_settings(self._compose(self.with_recipe([]))[0])
        return self._to_settings(self.node(overrides), overrides)

    def node(self, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
        """The configuration as Hydra composes it, interpolations unresolved; arguments and errors as in `compose`."""
        typed = [read_override(override) for override in overrides]
        for one in typed:
            refuse_hydra_setting(one, self.command, multirun=with_hydra)
        refuse_with_recipe(self, typed)
        if any(one.prefix or one.package for one in typed):
            # Hydra would add unknown settings, and delete known ones, which the dataclasses need.
            self.check(overrides, multirun=with_hydra)
        safe = self.for_hydra(typed)
        try:
            if with_hydra:
                return self._load(safe)
            return self._compose(safe)[0]
        except (ConfigError, ValueError) as error:  # ValueError: a whole number of more digits than Python reads
            self.check(overrides)  # raises an error that names the wrong one and its nearest neighbour
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(first_line(error)) from error

    def composed(self, overrides: list[str]) -> DictConfig:
        """The configuration with overrides as Hydra reads them; not to be changed."""
        return self._compose(overrides)[0]

    def multirun_config(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a sweep, with Hydra's own settings.

        Parameters
        ----------
        overrides : sequence of str
            As `check` returns them.

        Raises
        ------
        ConfigError
            For an unknown setting of Hydra, naming the nearest.
        """
        typed = [read_override(override) for override in overrides]
        for one in typed:
            options = self.loader.get_group_options(one.name) if one.name.startswith("hydra/") else []
            if options and one.value is not None and one.value not in options:
                near = did_you_mean(one.value, options)
                raise ConfigError(f"{one.name} has no option {one.value!r}{near}; the options are {', '.join(options)}")
        try:
            return self.hydra.compose_config(self._name, list(overrides), run_mode=RunMode.MULTIRUN)
        except FAILURES as error:
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
            raise ConfigError(describe_error(error, self)) from error

    def job_config(self, master: DictConfig, overrides: Sequence[str]) -> DictConfig:
        """The configuration of one job of a sweep, with Hydra's own settings."""
        try:
            return self.loader.load_sweep_config(master, list(overrides))
        except FAILURES as error:
            raise ConfigError(describe_error(error, self)) from error

    def with_recipe(self, overrides: list[str]) -> list[str]:
        """Overrides, after the one that chooses the recipe, if there is one."""
        return overrides if self.recipe is None else [f"experiment={RECIPE}", *overrides]

    def for_hydra(self, typed: Sequence[TypedOverride], *, multirun: bool = False) -> list[str]:
        """Overrides as Hydra's grammar reads them; unknown keys as they are.

        The types of the keys come from the dataclasses, so that nothing is composed for them: from every class that a
        group can stand for, since the option that an experiment chooses is only known after the composition.
        """
        keys = declared_keys(self.command)
        safe = [
            for_hydra(one, None if one.package else keys.get(one.name), multirun=multirun)
            for one in typed
            if one.name != SEARCH_PATH
        ]
        return self.with_recipe(safe)

    def check(self, overrides: Sequence[str], *, multirun: bool = False) -> list[str]:
        """Refuse invalid overrides, and quote the others for Hydra's grammar; as in `compose`."""
        typed = [read_override(override) for override in overrides]
        for one in typed:
            refuse_hydra_setting(one, self.command, multirun=multirun)
        refuse_with_recipe(self, typed)
        safe = self.for_hydra(typed, multirun=multirun)
        if typed:
            check_overrides(self, typed, multirun=multirun)
        return safe

    def _check_name(self) -> None:
        if not self.files.is_config(self._name):
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
                f"--config-name {self._name}: this is not a configuration of `asr {self.command}`: its defaults list "
                f"must begin with {self.command}, or with {self.command}_schema"
            )
        try:
            return to_settings(node)
        except ConfigError as error:
            raise locate(error, self, node, overrides) from None

    def _load(self, overrides: list[str]) -> DictConfig:
        try:
            return compose(self._name, overrides=overrides, return_hydra_config=True)
        except FAILURES as error:
            raise ConfigError(describe_error(error, self, overrides)) from error

    def _compose(self, overrides: list[str]) -> tuple[DictConfig, dict[str, str | None]]:
        """The configuration without Hydra's own settings, and the chosen options of groups."""
        known = tuple(overrides)
        if known not in self._composed:
            node = self._load(overrides)
            with open_dict(node):
                choices = dict(node.hydra.runtime.choices)
                del node["hydra"]
            self._composed[known] = node, choices
        return self._composed[known]
