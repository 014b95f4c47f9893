"""Refuses overrides that a command cannot use: by name, with the nearest valid one, and with what to type instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from asr.cli.arguments import did_you_mean
from asr.cli.composition_schemas import describe_type
from asr.cli.overrides import Key, TypedOverride, flat, for_hydra, parse_value, shown_value, single_values
from asr.cli.roots import GROUP_SCHEMAS, ROOTS
from asr.errors import ConfigError
from asr.settings.checks import shown
from asr.settings.yaml_text import first_line

if TYPE_CHECKING:
    from asr.cli.composition import Composer


def refuse_with_recipe(composer: Composer, typed: Sequence[TypedOverride]) -> None:
    """Refuse overrides of groups whose values the recipe sets."""
    recipe = composer.recipe
    if recipe is None:
        return
    for one in typed:
        if one.name == "experiment" or one.name in recipe:
            if one.name in ROOTS[composer.command].__dataclass_fields__ and one.name not in composer.defaults:
                continue  # a setting of its own
            names = sorted(composer.recipe_names)
            near = next((name for name in names if name.startswith(f"{one.name}.")), names[0])
            raise ConfigError(
                f"{one.text}: {composer.files.recipe} sets the values of this group itself: type single settings, "
                f"such as {near}=VALUE"
            )


def check_overrides(composer: Composer, typed: Sequence[TypedOverride], *, multirun: bool) -> None:
    """Refuse groups, options, settings and values that the command does not have."""
    choices = composer.with_recipe([])
    # A dictionary sets settings of a group's section, as in Hydra.
    of_groups = [one for one in typed if one.name in composer.groups and not (one.value or "").startswith("{")]
    for one in of_groups:
        choices += _check_group(composer, one, multirun=multirun)
    keys = composer.keys(choices)
    for one in typed:
        if one not in of_groups and not one.is_hydra:
            text = for_hydra(one, None if one.package else keys.get(one.name), multirun=multirun)
            _check_key(composer, one, text, keys, choices, multirun=multirun)


def _check_group(composer: Composer, one: TypedOverride, *, multirun: bool) -> list[str]:
    """Refuse an option that a group does not have, and a form of override that it cannot have.

    Returns
    -------
    list of str
        The override with its first option, to find out which settings exist with it.
    """
    group, options, added = one.name, composer.groups[one.name], composer.is_added(one.name)
    if one.prefix == "++":
        raise ConfigError(f"{one.text}: ++ is for settings: type {'+' if added else ''}{group}={one.value}")
    if one.prefix == "~":
        if added:
            raise ConfigError(
                f"{one.text}: `asr {composer.command}` does not use {group} by itself: leave ~{group} out"
            )
        if group in GROUP_SCHEMAS:
            default = composer.defaults[group]
            raise ConfigError(
                f"{one.text}: `asr {composer.command}` needs a {group}: type {group}={default}, the default"
            )
        if one.value not in (None, composer.defaults[group]):
            raise ConfigError(f"{one.text}: {group} is {composer.defaults[group]} here: type ~{group}")
        return [one.text]
    if one.prefix == "+" and not added and one.package in (None, group):
        raise ConfigError(f"{one.text}: {group} is chosen already, + is for groups that are not: type {one.text[1:]}")
    if one.prefix == "" and added:
        raise ConfigError(f"{one.text}: `asr {composer.command}` does not use {group} by itself: type +{one.text}")
    if one.prefix == "" and one.package is not None and f"{group}@{one.package}" not in composer.defaults:
        raise ConfigError(f"{one.text}: no default option of {group} goes to {one.package!r}: type {group}={one.value}")
    parsed = parse_value(one.text)
    if parsed.is_sweep_override() and not multirun:
        _refuse_sweep(composer, one)
    texts = single_values(parsed)
    for text in texts:
        named = [part.strip("'\"") for part in text.strip("[]").split(",")] if text.startswith("[") else [text]
        for option in named:
            known = option in options or composer.files.is_config(f"{group}/{option}")
            if not known and not (option == "null" and (added or composer.defaults.get(group) is None)):
                if option == "null":
                    raise ConfigError(f"{one.text}: type ~{group} for no option of {group}")
                raise ConfigError(
                    f"{group} has no option {option!r}{did_you_mean(option, options)}; "
                    f"the options are {', '.join(options) or 'none'}"
                )
    return [f"{one.head}={texts[0]}"] if texts else []


def _refuse_sweep(composer: Composer, one: TypedOverride) -> None:
    raise ConfigError(
        f"{one.text}: several values for one key; that is a sweep, for `asr "
        f"{composer.command if composer.command == 'train' else 'train'} --multirun`, or a list: {one.name}=[a,b]"
    )


def _check_key(
    composer: Composer, one: TypedOverride, text: str, keys: dict[str, Key], choices: list[str], *, multirun: bool
) -> None:
    """Refuse an unknown setting, a form of override that it cannot have, and a value that it cannot have."""
    name = one.name
    if one.package is not None:
        raise ConfigError(
            f"{one.text}: @ chooses the section for an option of a group, and {name!r} is not a group; "
            f"the groups are {', '.join(composer.groups) or 'none'}"
        )
    section = [key for key in keys if key.startswith(f"{name}.")]
    if name not in keys and not section:
        what = {"": "", "~": f", nor is there a file {one.text!r}"}.get(
            one.prefix, f": {one.prefix} cannot add one: the settings are fixed"
        )
        raise ConfigError(_unknown_key(composer, name, keys) + what)
    if one.prefix == "~":
        default = "" if name not in keys else f": its default is {name}={shown_value(keys[name].default)}"
        raise ConfigError(f"{one.text}: a setting cannot be deleted, only groups can (~augment){default}")
    if one.prefix == "+":
        raise ConfigError(f"{one.text}: there is a setting {name!r} already, + is for new ones: type {one.text[1:]}")
    try:
        parsed = parse_value(text)
    except ValueError:  # a whole number of more digits than Python reads
        raise ConfigError(f"{name} must be {describe_type(keys[name].kind)}, not {shown(one.value)}") from None
    if parsed.is_sweep_override() and not multirun:
        _refuse_sweep(composer, one)
    if section:
        value = None if parsed.is_sweep_override() else parsed.value()
        if not isinstance(value, dict):
            raise ConfigError(
                f"{one.text}: {name} is a section of settings: type {section[0]}=VALUE, or "
                f"{name}={{{section[0].removeprefix(name + '.')}:VALUE}}"
            )
        for inner, found in flat(value, name):
            if inner not in keys:
                raise ConfigError(_unknown_key(composer, inner, keys))
            _check_value(composer, keys[inner], found, str(found), choices)
        return
    if parsed.is_sweep_override():
        for single in single_values(parsed):
            _check_value(composer, keys[name], parse_value(f"{name}={single}").value(), single, choices)
    else:
        _check_value(composer, keys[name], parsed.value(), one.value or "", choices)


def _check_value(composer: Composer, key: Key, value: Any, typed: str, choices: list[str]) -> None:
    """Refuse a value that does not have the type of its setting, naming both."""
    node = composer.composed(choices).copy()
    try:
        OmegaConf.update(node, key.name, value, merge=True)
        OmegaConf.select(node, key.name)
        if isinstance(value, dict):
            raise ConfigError(f"{key.name} must be {describe_type(key.kind)}, not {shown(typed)}")
    except InterpolationKeyError as error:
        missing = re.search(r"Interpolation key '(.*?)'", str(error))
        name = missing[1] if missing else ""
        raise ConfigError(
            f"{key.name}={typed}: ${{{name}}} names no setting{did_you_mean(name, composer.keys(choices))} "
            "(in a file name, type \\${)"
        ) from None
    except OmegaConfBaseException as error:
        if "${" in str(value):
            raise ConfigError(f"{key.name}={typed}: {first_line(error)}") from None
        if key.choices:
            raise ConfigError(
                f"{key.name} must be one of {', '.join(key.choices)}, not {typed!r}{did_you_mean(typed, key.choices)}"
            ) from None
        raise ConfigError(f"{key.name} must be {describe_type(key.kind)}, not {shown(typed)}") from None


def _unknown_key(composer: Composer, name: str, keys: dict[str, Key]) -> str:
    message = f"`asr {composer.command}` has no setting {name!r}"
    for group, options in composer.groups.items():
        for option in options:
            if group in GROUP_SCHEMAS and name.startswith(f"{group}.") and name in composer.keys([f"{group}={option}"]):
                return f"{message} with this {group}: it is of {group}={option}"
    neighbours = [*keys, *composer.groups]
    last_parts = {key.rpartition(".")[2]: key for key in keys}
    if name in last_parts:
        return f"{message}; did you mean {last_parts[name]!r}?"
    near = did_you_mean(name, neighbours) or did_you_mean(name, last_parts)
    return f"{message}{near}; `asr {composer.command} --help` lists all"
