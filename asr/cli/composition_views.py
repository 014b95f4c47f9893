"""The output of --cfg and --info: a configuration as Hydra composes it, and how it was composed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import Container, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from asr.cli.arguments import did_you_mean
from asr.cli.composition import Composer
from asr.errors import ConfigError
from asr.settings.yaml_text import first_line


def composition_yaml(
    composer: Composer, overrides: Sequence[str], kind: str, *, section: str | None = None, resolve: bool = False
) -> str:
    """A configuration as YAML.

    Parameters
    ----------
    composer : Composer
    overrides : sequence of str
    kind : str
        job (of the command), hydra (Hydra's own) or all.
    section : str, optional
        The only one to be shown.
    resolve : bool
        Replace interpolations by their values.

    Raises
    ------
    ConfigError
        If the overrides cannot be used, there is no such section, or an interpolation has no value.
    """
    node = composer.node(overrides, with_hydra=True)
    HydraConfig.instance().set_config(node)
    OmegaConf.set_readonly(node.hydra, None)
    with open_dict(node):
        if kind == "job":
            del node["hydra"]
        elif kind == "hydra":
            for name in [name for name in node if name != "hydra"]:
                del node[name]
    shown = node
    if section not in (None, "_global_"):
        try:
            shown = OmegaConf.select(node, section)
        except OmegaConfBaseException as error:
            raise ConfigError(f"--package {section}: {first_line(error)}") from error
        if shown is None:
            raise ConfigError(f"--package: there is no section {section!r}{did_you_mean(section, map(str, node))}")
        if not isinstance(shown, Container):
            return f"{shown}\n"
    try:
        text = OmegaConf.to_yaml(shown, resolve=resolve)
    except OmegaConfBaseException as error:
        raise ConfigError(f"--resolve: {first_line(error)}") from error
    return text if shown is node else f"# @package {section}\n{text}"


def print_composition(composer: Composer, overrides: Sequence[str], kind: str) -> None:
    """Print how a configuration is composed, as Hydra's --info does.

    Parameters
    ----------
    composer : Composer
    overrides : sequence of str
    kind : str
        all, config, defaults, defaults-tree, plugins or searchpath.
    """
    composer.node(overrides, with_hydra=True)  # refuses invalid overrides
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    try:
        composer.hydra.show_info(kind, config_name=composer.config_name, overrides=composer.check(overrides))
    except HydraException as error:
        raise ConfigError(first_line(error)) from error
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
