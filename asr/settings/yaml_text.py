"""Settings as YAML, and back: a run keeps its settings so, and the command line composes them so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from asr.errors import AsrError, ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

Settings = TypeVar("Settings")


def to_yaml(settings: Any) -> str:
    """Settings as YAML, with every default written out."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(settings))


def from_yaml(kind: type[Settings], text: str, where: str) -> Settings:
    """Settings from the YAML that `to_yaml` wrote.

    Parameters
    ----------
    kind : type
        The dataclass.
    text : str
    where : str
        Begins the message of an error: the name of the file.

    Raises
    ------
    ConfigError
        If the text is not YAML, or has unknown keys or values that cannot be used.
    """
    from omegaconf import OmegaConf

    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), OmegaConf.create(text))
    except Exception as error:  # PyYAML's and OmegaConf's errors have no common base but Exception
        raise ConfigError(f"{where}: {first_line(error)}") from error
    return cast(Settings, to_settings(cast("DictConfig", merged)))


def to_settings(node: Any) -> Any:
    """The dataclass of a composed configuration (an OmegaConf node).

    Raises
    ------
    ConfigError
        If a value is out of its bounds.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_object(node)
    except AsrError:
        raise
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, AsrError):
            raise error.__cause__ from None
        raise ConfigError(first_line(error)) from error


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
