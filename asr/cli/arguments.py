"""Splits a command line into flags, files and settings; Hydra's parser would refuse `a.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from asr.errors import ConfigError

FLAGS = {
    "--help": "show this help",
    "--version": "show the version",
    "--show-config": "show the settings that would be used, as YAML, and stop",
    "--multirun": "train once for every combination of values given as key=a,b",
    "--verbose": "show more messages on stderr, and the full traceback of an error",
    "--quiet": "show only errors on stderr, and no progress bar",
}
SHORT_FLAGS = {"-h": "--help", "-m": "--multirun", "-v": "--verbose", "-q": "--quiet"}

_SETTING = re.compile(r"[A-Za-z_][\w./@]*=")


@dataclass
class Arguments:
    """A command line, split."""

    flags: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)


def split_arguments(arguments: Sequence[str]) -> Arguments:
    """Split a command line into flags, files and settings.

    Parameters
    ----------
    arguments : sequence of str
        What follows the name of the command.

    Returns
    -------
    Arguments
        An argument that exists on disk, or follows `--`, is a file, whatever it looks like; so is `-`. Of the rest,
        `key=value` is a setting, a leading dash makes a flag, and anything else is a file that is missing.

    Raises
    ------
    ConfigError
        For an unknown flag, naming the nearest.
    """
    import difflib

    result = Arguments()
    for place, argument in enumerate(arguments):
        if argument == "--":
            result.files += arguments[place + 1 :]
            break
        if argument == "-" or os.path.lexists(argument):
            result.files.append(argument)
        elif argument.startswith("-"):
            flag = SHORT_FLAGS.get(argument, argument)
            if flag not in FLAGS:
                near = difflib.get_close_matches(flag, FLAGS, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ConfigError(f"there is no flag {argument}{hint} (a file of that name follows --)")
            result.flags.add(flag)
        elif _SETTING.match(argument):
            result.overrides.append(argument)
        else:
            result.files.append(argument)
    return result
