"""Splits a command line into flags, files and settings; Hydra's parser would refuse `a.wav`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from asr.errors import ConfigError

FLAGS = {
    "--help": "show this help",
    "--version": "show the version",
    "--show-config": "show the settings that would be used, as YAML, and stop; with --multirun those of every job",
    "--multirun": "train once for every combination of values given as key=a,b",
    "--config-dir": "a folder of your own groups and experiments, found before those that ship; ASR_CONFIG_DIR names "
    "one for every command",
    "--config-name": "the primary configuration, instead of that of the command: a file in --config-dir",
    "--cfg": "show the configuration as Hydra composes it, interpolations unresolved, and stop",
    "--resolve": "with --cfg: resolve the interpolations",
    "--package": "with --cfg: show one section only",
    "--info": "show how Hydra composes the configuration, and stop",
    "--verbose": "show more messages on stderr, and the full traceback of an error",
    "--quiet": "show only errors on stderr, and no progress bar",
}
CFG_KINDS = ("job", "hydra", "all")
INFO_KINDS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
FLAG_VALUES = {
    "--config-dir": "DIR",
    "--config-name": "NAME",
    "--cfg": "|".join(CFG_KINDS),
    "--package": "SECTION",
    "--info": f"[{'|'.join(INFO_KINDS)}]",
}
"""The flags that take a value, and its form; brackets where it is optional."""
SHORT_FLAGS = {
    "-h": "--help", "-m": "--multirun", "-cd": "--config-dir", "-cn": "--config-name", "-c": "--cfg", "-p": "--package",
    "-i": "--info", "-v": "--verbose", "-q": "--quiet",
}  # fmt: skip
_NOT_HERE = {
    "--run": "a command without --multirun is one run: leave it out",
    "--config-path": "--config-dir DIR adds a folder of your own configuration",
    "--shell-completion": "`asr completion bash` prints the script, also for zsh and fish",
    "--hydra-help": "`asr train --help` lists all flags and settings",
    "--experimental-rerun": "`asr train RUN_DIR/config.yaml` starts the same run",
}
"""Flags of Hydra, and what to type instead."""
_NOT_HERE |= {short: _NOT_HERE[long] for short, long in (("-r", "--run"), ("-cp", "--config-path"))}
_NOT_HERE["-sc"] = _NOT_HERE["--shell-completion"]
_CHOICES = {"--cfg": CFG_KINDS, "--info": INFO_KINDS}

# A key of Hydra's grammar: a dotted path or a group, perhaps with a package.
_KEY = r"[A-Za-z_$][\w$./-]*(@[\w$./:-]*)?"
_NAME = re.compile(r"--([A-Za-z][\w.-]*)")
# A flag that is this similar to another one is a typing error, and no setting.
_LIKE_A_FLAG = 0.75
_SETTING = re.compile(rf"(\+\+?|~)?{_KEY}=|~{_KEY}\Z")


@dataclass
class Arguments:
    """A command line, split."""

    flags: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """of the flags that take one"""


def split_arguments(arguments: Sequence[str]) -> Arguments:
    """Split a command line into flags, files and settings.

    Parameters
    ----------
    arguments : sequence of str
        Those after the name of the command.

    Returns
    -------
    Arguments
        An argument that exists on disk, or follows `--`, is a file, whatever it looks like; so is `-`. Of the rest,
        `key=value`, `+key=value`, `++key=value`, `~key` and `group@package=option` are settings, a leading dash makes a
        flag, and anything else is a file that is missing.

    Raises
    ------
    ConfigError
        For an unknown flag, naming the nearest, a flag without its value, and an empty argument.
    """
    result = Arguments()
    if "" in arguments:  # as a path it would be the present folder
        raise ConfigError("an argument is empty: perhaps a variable of the shell that has no value")
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            result.files += rest
            break
        if argument == "-" or os.path.lexists(argument):
            result.files.append(argument)
        elif argument.startswith("-"):
            flag, equals, value = argument.partition("=")
            flag = _known_flag(flag, value if equals else rest[0] if rest else "")
            result.flags.add(flag)
            if flag in FLAG_VALUES:
                result.values[flag] = _checked(flag, value) if equals else _following(flag, rest)
            elif equals:
                raise ConfigError(f"{flag} takes no value: leave {equals}{value} out")
        elif _SETTING.match(argument):
            result.overrides.append(argument)
        else:
            result.files.append(argument)
    return result


def _known_flag(typed: str, value: str) -> str:
    """The long name of a flag.

    Parameters
    ----------
    typed : str
    value : str
        What follows it, for the message if it is a setting with dashes.
    """
    flag = SHORT_FLAGS.get(typed, typed)
    if flag in _NOT_HERE:
        raise ConfigError(f"there is no flag {typed}: {_NOT_HERE[flag]}")
    if flag not in FLAGS and len(flag) == 2:
        # One letter is like none of the long names.
        raise ConfigError(
            f"there is no flag {typed}; settings are written key=value, and --help lists them (a file of that name "
            "follows --)"
        )
    name = _NAME.fullmatch(flag)
    if flag not in FLAGS and name and not nearest(flag, FLAGS, likeness=_LIKE_A_FLAG):
        value = "VALUE" if not value or value.startswith("-") else shlex.quote(value)
        setting = f"{name[1].replace('-', '_')}={value}"
        raise ConfigError(
            f"there is no flag {typed}; settings are written key=value: {setting} (a file of that name follows --)"
        )
    if flag not in FLAGS:
        raise ConfigError(f"there is no flag {typed}{_nearest_flag(flag, FLAGS)} (a file of that name follows --)")
    return flag


def _following(flag: str, rest: list[str]) -> str:
    """The value of a flag, taken from the arguments that follow it."""
    if flag == "--info" and (not rest or rest[0] not in INFO_KINDS):
        return "all"
    if not rest or (rest[0].startswith("-") and rest[0] in {*FLAGS, *SHORT_FLAGS}):
        raise ConfigError(f"{flag} needs a value: {flag} {FLAG_VALUES[flag]}")
    return _checked(flag, rest.pop(0))


def _checked(flag: str, value: str) -> str:
    if not value:
        raise ConfigError(f"{flag} needs a value: {flag} {FLAG_VALUES[flag]}")
    if flag in _CHOICES and value not in _CHOICES[flag]:
        near = _nearest_flag(value, _CHOICES[flag])
        raise ConfigError(f"{flag} must be one of {', '.join(_CHOICES[flag])}, not {value!r}{near}")
    return value


def nearest(name: str, names: Iterable[str], *, likeness: float = 0.5) -> str | None:
    """The most similar of some names, apart from capitals, if one is similar enough (1: equal)."""
    import difflib

    spelled = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), list(spelled), n=1, cutoff=likeness)
    return spelled[near[0]] if near else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The most similar of some names, as the end of a message."""
    near = nearest(name, names)
    return f"; did you mean {near!r}?" if near is not None else ""


def _nearest_flag(name: str, flags: Iterable[str]) -> str:
    near = nearest(name, flags)
    return f"; did you mean {near}?" if near is not None else ""
