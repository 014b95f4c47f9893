"""Shared by the commands: composing settings, --help and --show-config, loading a bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from asr.cli.arguments import Arguments
from asr.cli.console import configure_logging, quiet_native_libraries
from asr.errors import ConfigError
from asr.settings.commands import ExperimentConfig
from asr.settings.decoding import BeamConfig, DecoderConfig
from asr.settings.model import EngineKind

if TYPE_CHECKING:
    from asr.acoustic.runtime import AcousticModel
    from asr.bundle import Bundle

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
    from asr.cli.composition import Composer
    from asr.settings.yaml_text import to_yaml

    with Composer(command) as composer:
        if "--help" in split.flags:
            from asr.cli.help import command_help

            print(command_help(composer, usage=usage, text=text, examples=examples, choices=choices))
            return None
        settings = composer.compose(split.overrides)
    if "--multirun" in split.flags:
        raise ConfigError("--multirun is for `asr train`")
    if "--show-config" in split.flags:
        print(to_yaml(settings), end="")
        return None
    if files_required and not split.files:
        raise ConfigError(f"no file is named; `asr {command} --help` shows examples")
    configure_logging(settings.log, split.flags)
    return settings


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


def with_init(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Settings with those of the bundle that `init` names, but for what was given on the command line.

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
    settings = adopt_settings(settings, bundle, {override.partition("=")[0] for override in overrides})
    check_fits(settings, bundle)
    return settings
