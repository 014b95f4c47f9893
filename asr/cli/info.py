"""`asr info`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from asr.cli.arguments import split_arguments
from asr.errors import BundleError, ConfigError

HELP = """\
Usage: asr info [BUNDLE...]

Describes model bundles: size, alphabet, settings, what they were trained on, measured error rates. A BUNDLE is a
bundle's folder or the name of one that ships; without one, all that ship are described.

Examples:
  asr info
  asr info en runs/mine/best
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    if "--help" in split.flags:
        print(HELP, end="")
        return 0
    if split.overrides or split.flags - {"--verbose", "--quiet"}:
        wrong = [*split.overrides, *split.flags][0]
        raise ConfigError(f"asr info takes bundles, not {wrong}; `asr info --help` shows examples")
    from asr.bundle import shipped_bundles

    names = split.files or shipped_bundles()
    if not names:
        raise BundleError("no bundle ships with this installation")
    print("\n\n".join(_describe(name) for name in names))
    return 0


def _describe(name: str) -> str:
    from asr.bundle import load_bundle

    bundle = load_bundle(name)
    weights = sum(array.size for array in bundle.weights().values())
    lines = [
        f"{bundle.name}  ({bundle.path})",
        f"  size          {bundle.bytes_on_disk / 1e6:.1f} MB, {weights:,} weights",
        f"  alphabet      {bundle.alphabet.symbols!r} and the blank",
        f"  model         {_settings(bundle.model)}",
        f"  features      {_settings(bundle.log_mel.settings)}",
        f"  normalizer    {_settings(bundle.normalizer)}",
    ]
    if bundle.decoder is not None:
        lines.append(f"  decoder       beam search: {_settings(bundle.decoder)}")
        if bundle.decoder.lm is not None:
            from asr.decoding.ngram_file import read_provenance

            made = read_provenance(bundle.decoder.lm)
            lines += [f"  language      {key}: {_value(value)}" for key, value in made.items()]
    for title, mapping in (("trained", bundle.provenance), ("error rates", bundle.error_rates)):
        for key, value in mapping.items():
            lines.append(f"  {title:<14}{key}: {_value(value)}")
            title = ""
    return "\n".join(lines)


def _settings(settings: Any) -> str:
    return ", ".join(f"{one.name} {_value(getattr(settings, one.name))}" for one in fields(settings))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
