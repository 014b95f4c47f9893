"""Shared by the commands: composing settings, --help and --show-config, loading a bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Set
from typing import TYPE_CHECKING, Any, TypeVar

from asr.cli.arguments import Arguments
from asr.cli.console import configure_logging, quiet_native_libraries
from asr.cli.plain_settings import plain_settings
from asr.errors import ConfigError
from asr.settings.commands import ExperimentConfig
from asr.settings.decoding import BeamConfig, DecoderConfig
from asr.settings.model import EngineKind

if TYPE_CHECKING:
    from asr.acoustic.runtime import AcousticModel
    from asr.bundle import Bundle
    from asr.cli.composition import Composer

Settings = TypeVar("Settings", bound=ExperimentConfig)

_log = logging.getLogger(__name__)


def settings_or_answer(
    command: str,
    split: Arguments,
    *,
    usage: str,
    text: str,
    examples: str,
    choices: Iterable[tuple[str, str]] = (),
    files_required: bool = True,
) -> Any:
    """Compose a command's settings and set up its messages; or answer --help or --show-config and return None.

    Parameters
    ----------
    command : str
    split : Arguments
    usage, text, examples, choices
        For the help, as in `command_help`.
    files_required : bool
        Whether a command line without files is refused.

    Raises
    ------
    ConfigError
        For a setting that cannot be used, a flag of another command, or if no file is named.
    """
    if "--multirun" in split.flags:
        raise ConfigError("--multirun is for `asr train`")
    settings = plain_settings(command, split)
    if settings is None:
        from asr.cli.composition import Composer
        from asr.settings.yaml_text import to_yaml

        with Composer.from_arguments(command, split) as composer:
            if "--help" in split.flags:
                from asr.cli.help import command_help

                print(command_help(composer, usage=usage, text=text, examples=examples, choices=choices))
                return None
            if show_composition(composer, split):
                return None
            settings = composer.compose(split.overrides)
        if "--show-config" in split.flags:
            print(to_yaml(settings), end="")
            return None
    if files_required and not split.files:
        raise ConfigError(f"no file is named; `asr {command} --help` shows examples")
    configure_logging(settings.log, split.flags)
    return settings


def show_composition(composer: Composer, split: Arguments) -> bool:
    """Answer --cfg or --info, if one of them is asked for; returns whether it was.

    Raises
    ------
    ConfigError
        For a flag without the one that it belongs to, and an unknown section.
    """
    kind, info = split.values.get("--cfg"), split.values.get("--info")
    for flag in ("--resolve", "--package"):
        if flag in split.flags and kind is None:
            raise ConfigError(f"{flag} belongs to --cfg: type --cfg job {flag} {split.values.get(flag, '')}".rstrip())
    if kind is None and info is None:
        return False
    if "--multirun" in split.flags:
        raise ConfigError("--cfg and --info show one run: for those of a sweep, type --multirun --show-config")
    from asr.cli.composition_views import composition_yaml, print_composition

    if kind is not None:
        resolve = "--resolve" in split.flags
        print(
            composition_yaml(composer, split.overrides, kind, section=split.values.get("--package"), resolve=resolve),
            end="",
        )
    else:
        print_composition(composer, split.overrides, str(info))
    return True


def load_engine(bundle: Bundle, kind: EngineKind) -> AcousticModel:
    """The runtime of a bundle, loaded without the messages of native libraries."""
    if kind is not EngineKind.keras:
        return bundle.engine(kind)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native_libraries():
        return bundle.engine(kind)


def warn_of_unused_model(bundle: Bundle, decoder: DecoderConfig) -> None:
    """Warn where a beam search does not use the language model of its bundle."""
    if isinstance(decoder, BeamConfig) and decoder.lm is None and bundle.decoder and bundle.decoder.lm:
        _log.warning(
            "decoder=beam uses no settings of %s, so it has no language model; decoder=auto, the default, uses the "
            "bundle's and has the same settings",
            bundle.path,
        )


def with_init(settings: Settings, names: Set[str]) -> Settings:
    """Settings with those of the bundle that `init` names, except those given on the command line.

    Parameters
    ----------
    settings : TrainConfig or DoctorConfig
    names : set of str
        Of the settings and groups that were given.

    Raises
    ------
    ConfigError
        If these cannot be those of the bundle.
    BundleError
        If there is no such bundle.
    """
    if settings.init is None:
        return settings
    from asr.bundle import load_bundle
    from asr.training.finetune import adopt_settings, check_fits

    bundle = load_bundle(settings.init)
    settings = adopt_settings(settings, bundle, names)
    check_fits(settings, bundle)
    return settings
