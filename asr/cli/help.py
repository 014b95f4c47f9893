"""The help of a command, made from its settings."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable

from asr.cli.arguments import FLAG_VALUES, FLAGS, SHORT_FLAGS
from asr.cli.composition import Composer
from asr.cli.overrides import Key, shown_value
from asr.cli.roots import GROUP_SCHEMAS
from asr.settings.decoding import FROM_BUNDLE


def command_help(
    composer: Composer, *, usage: str, text: str, examples: str, choices: Iterable[tuple[str, str]] = ()
) -> str:
    """The help page of a command: usage, examples, groups with their options, every setting with its default.

    Parameters
    ----------
    composer : Composer
    usage, text, examples : str
        What cannot be derived from the settings.
    choices : iterable of (name, meaning)
        The values of the first argument, where it is one of a few words.
    """
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    parts = [f"Usage: {usage}", textwrap.fill(" ".join(text.split()), width), "Examples:\n" + examples.rstrip()]
    if rows := list(choices):
        parts.append(f"{usage.split()[2]}:\n" + _columns(rows, width))
    keys = composer.keys()
    groups = composer.groups
    if groups:
        defaults = composer.group_defaults
        rows = []
        for group, options in groups.items():
            default = defaults[group]
            if composer.is_added(group):
                rows.append((f"+{group}=", f"{' | '.join(options)}  [not used]"))
            else:
                rows.append((f"{group}=", f"{' | '.join(options)}  [{'null' if default is None else default}]"))
        parts.append("Choices (group=option, default in brackets):\n" + _columns(rows, width))
    note = "; bundle: the value of the bundle" if any(key.default == FROM_BUNDLE for key in keys.values()) else ""
    rows = [_row(key) for key in keys.values()]
    parts.append(f"Settings (key=value, default in brackets{note}):\n" + _columns(rows, width))
    for group, options in groups.items():
        for option in options:
            if group not in GROUP_SCHEMAS:
                continue  # these change the values of settings, not their names
            extra = {name: key for name, key in composer.keys([f"{group}={option}"]).items() if name not in keys}
            if extra:
                rows = [_row(key) for key in extra.values()]
                parts.append(f"Settings with {group}={option}:\n" + _columns(rows, width))
    flags = [(_flag(flag), doc) for flag, doc in FLAGS.items()]
    if composer.command != "train":
        flags = [row for row in flags if "--multirun" not in row[0]]
    parts.append("Flags:\n" + _columns(flags, width))
    return "\n\n".join(parts)


def _flag(flag: str) -> str:
    names = [*(short for short, long in SHORT_FLAGS.items() if long == flag), flag]
    return " ".join([", ".join(names), *([FLAG_VALUES[flag]] if flag in FLAG_VALUES else [])])


def _row(key: Key) -> tuple[str, str]:
    return f"{key.name}=", f"{key.help} [{shown_value(key.default)}]"


def _columns(rows: list[tuple[str, str]], width: int) -> str:
    left = min(max(len(name) for name, _ in rows) + 2, 32)
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(width - left - 2, 30)) or [""]
        if len(name) + 2 > left:
            lines.append(f"  {name}")
            name = ""
        lines.append(f"  {name:<{left}}{wrapped[0]}")
        lines += [" " * (left + 2) + line for line in wrapped[1:]]
    return "\n".join(lines)
