"""The files that settings are composed from: those that ship, those of the user's own folders, and a recipe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig

from asr.cli.arguments import did_you_mean
from asr.cli.roots import FOLDER_VARIABLE
from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings.yaml_text import parse_yaml, place_of

OWN_FOLDER = "own folder"
"""the provider, in Hydra's search path, of the user's own folders"""
RECIPE = "_file_"
"""the option of `experiment` that a file of settings becomes"""


def own_folders(named: Sequence[str]) -> list[str]:
    """The user's own folders as Hydra's search path has them: those of the command line, then of `ASR_CONFIG_DIR`.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """
    of_variable = os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep)
    return [
        *(_address(folder, "--config-dir") for folder in named),
        *(_address(folder, FOLDER_VARIABLE) for folder in of_variable if folder),
    ]


def _address(folder: str, origin: str) -> str:
    if folder.startswith("pkg://"):
        return folder
    path = typed_path(folder.removeprefix("file://"))
    if not path.is_dir():
        raise ConfigError(f"{origin}: {path} is not a folder{_folder_near(path)}")
    return f"file://{path.resolve()}"


def _folder_near(path: Path) -> str:
    beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, beside)


def shown_path(path: Path) -> str:
    """A path as the user may have typed it: relative where it is below the working directory."""
    folder = Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def read_recipe(path: Path) -> DictConfig:
    """The settings of a file, such as `config.yaml` of a run.

    Raises
    ------
    ConfigError
        If it is not YAML, or has a defaults list.
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


class ConfigFiles:
    """The configuration files of a composition.

    Parameters
    ----------
    loader : ConfigLoader
        Hydra's, with the search path.
    recipe : Path, optional
        The file of settings that is the option `RECIPE` of `experiment`.
    """

    def __init__(self, loader: ConfigLoader, recipe: Path | None) -> None:
        self._loader, self.recipe = loader, recipe

    def groups(self) -> dict[str, set[str]]:
        """All groups, and the options of each."""
        options: dict[str, set[str]] = {}
        for source in self._sources(OWN_FOLDER, "main"):
            for group, found in _groups_in(source):
                options.setdefault(group, set()).update(found)
        return options

    def own_names(self) -> set[str]:
        """The primary configurations in the user's own folders."""
        return {name for source in self._sources(OWN_FOLDER) for name in source.list("", ObjectType.CONFIG)}

    def is_config(self, path: str) -> bool:
        """Whether there is a configuration, such as decoder/beam."""
        return any(source.is_config(path) for source in self._sources())

    def options_near(self, config_path: str) -> set[str]:
        """The options of the group of a configuration that is missing."""
        group = config_path.rpartition("/")[0]
        sources = [one for one in self._sources() if not group or one.is_group(group)]
        return {name for source in sources for name in source.list(group, ObjectType.CONFIG)}

    def file_of(self, config_path: str) -> Path | None:
        """The file of a configuration, if it is one."""
        if config_path == f"experiment/{RECIPE}":
            return self.recipe
        for source in self._loader.get_sources():
            if source.scheme() == "file" and (path := Path(source.path) / f"{config_path}.yaml").is_file():
                return path
        return None

    def place(self, config_path: str, key: str, package: str = "") -> str | None:
        """The file of a configuration, and the line on which it sets a key if it does."""
        path = self.file_of(config_path)
        if path is None:
            return None
        text, name = path.read_text("utf-8"), shown_path(path)
        return place_of(text, key.removeprefix(f"{package}.") if package else key, name)

    def not_text(self) -> str | None:
        """The first file that is not UTF-8 text."""
        for source in self._loader.get_sources():
            for path in sorted(Path(source.path).rglob("*.yaml")) if source.scheme() == "file" else ():
                try:
                    path.read_text("utf-8")
                except UnicodeDecodeError:
                    return shown_path(path)
        return None

    def _sources(self, *providers: str) -> list[Any]:
        sources = self._loader.get_sources()
        return [one for one in sources if one.available() and (not providers or one.provider in providers)]


def _groups_in(source: Any, parent: str = "") -> Iterable[tuple[str, list[str]]]:
    for name in source.list(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if name.startswith((".", "__")):
            continue
        options = source.list(group, ObjectType.CONFIG)
        if options:
            yield group, options
        yield from _groups_in(source, group)
