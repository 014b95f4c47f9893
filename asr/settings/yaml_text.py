"""Settings as YAML, and back: a run keeps its settings so, and the command line composes them so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from asr.errors import AsrError, ConfigError
from asr.settings.checks import shown

if TYPE_CHECKING:
    from omegaconf import DictConfig

Settings = TypeVar("Settings")

# A bracket or a quote that is not closed is noticed lines later: the line on which it opens is at fault.
_BEGINS = ("while parsing a flow", "while scanning a quoted")


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

    node = parse_yaml(text, where)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), node)
    except Exception as error:  # the errors of OmegaConf and those of Python that it lets pass
        key = str(getattr(error, "full_key", None) or "")
        raise ConfigError(f"{place_of(text, key, where)}: {first_line(error)}") from error
    return cast(Settings, to_settings(cast("DictConfig", merged)))


def parse_yaml(text: str, where: str) -> DictConfig:
    """The node of a YAML text.

    Raises
    ------
    ConfigError
        If the text is not YAML, or holds something else than keys with values; with the line.
    """
    import yaml  # type: ignore[import-untyped]
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        node = OmegaConf.create(text)
    except yaml.YAMLError as error:
        raise ConfigError(syntax_problem(error, where)) from error
    except (OmegaConfBaseException, ValueError) as error:  # ValueError: a date that there is not, a number too long
        raise ConfigError(f"{where}: {first_line(error)}") from error
    if not OmegaConf.is_dict(node) or (set(node) == {text.strip()} and ":" not in text):
        raise ConfigError(f"{where}: there must be `key: value` lines, not {shown(text.strip())}")
    return cast("DictConfig", node)


def syntax_problem(error: Exception, where: str) -> str:
    """What is wrong with a text that is not YAML, on one line, with the line of the file.

    Parameters
    ----------
    error : yaml.YAMLError
    where : str
        The name of the file.
    """
    context = getattr(error, "context", None) or ""
    mark = getattr(error, "problem_mark", None)
    if mark is None or context.startswith(_BEGINS):
        mark = getattr(error, "context_mark", None) or mark
    place = f"{where}:{mark.line + 1}" if mark is not None else where
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or first_line(error)
    return f"{place}: not YAML: {' '.join(f'{context} {problem}'.split())}"


def place_of(text: str, key: str, where: str) -> str:
    """The name of a file, with the line on which its YAML sets a dotted key, or the nearest section above it."""
    import yaml

    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for name in key.split(".") if key else ():
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = [(one, value) for one, value in pairs if one.value == name]
        if not found:
            break
        line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return where if line is None else f"{where}:{line}"


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
