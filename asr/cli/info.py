"""`asr info`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from asr.cli.arguments import split_arguments
from asr.errors import BundleError, ConfigError

HELP = """\
Usage: asr info [BUNDLE...]

Describes model bundles: size, alphabet, settings, what they were trained on, measured error rates. A BUNDLE is the
name of one that ships, or the path of a bundle's folder (./NAME); without one, all that ship are described.

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
    parts = [
        ("size", [f"{bundle.bytes_on_disk / 1e6:.1f} MB, {weights:,} weights"]),
        ("alphabet", [f"{bundle.alphabet.description} and the blank"]),
        ("model", [_settings(bundle.model)]),
        ("features", [_settings(bundle.log_mel.settings)]),
        ("normalizer", [_settings(bundle.normalizer)]),
    ]
    if bundle.decoder is not None:
        parts.append(("decoder", [f"beam search: {_settings(bundle.decoder)}"]))
        if bundle.decoder.lm is not None:
            from asr.language.ngram_file import read_provenance

            parts.append(("language", _tree(read_provenance(bundle.decoder.lm))))
    parts.append(("trained", _tree(bundle.provenance)))
    parts.append(("error rates", _rates(bundle.error_rates)))
    lines = [f"{bundle.name}  ({bundle.path})"]
    for title, content in parts:
        for line in content:
            text = line.lstrip()
            indent = line[: len(line) - len(text)]
            wrap = textwrap.TextWrapper(
                _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
            )
            for one in wrap.wrap(text):
                lines.append(f"  {title:<14}{one}".rstrip())
                title = ""
    return "\n".join(lines)


_WIDTH = 100


def _settings(settings: Any) -> str:
    """The settings without those that have no value."""
    values = ((one.name, getattr(settings, one.name)) for one in fields(settings))
    return ", ".join(f"{name}={_value(value)}" for name, value in values if value is not None and value != [])


def _tree(mapping: Mapping[str, Any], depth: int = 0) -> list[str]:
    """One line per entry; nested entries are indented below it."""
    lines = []
    for key, value in mapping.items():
        if value is None:
            continue
        nested = isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values())
        lines.append(f"{'  ' * depth}{key}:{'' if nested else f' {_value(value)}'}")
        if nested:
            lines += _tree(value, depth + 1)
    return lines


def _rates(error_rates: Mapping[str, Any]) -> list[str]:
    """Measured error rates, in percent."""
    lines, notes = [], []
    for measured_on, values in error_rates.items():
        if not isinstance(values, Mapping):
            lines.append(f"{measured_on}: {_value(values)}")
            continue
        rest = dict(values)
        rates = []
        for name in ("wer", "cer"):
            rate, interval = _numbers(rest.pop(name, None)), _numbers(rest.pop(f"{name}_interval", None))
            shown = f"{100 * rate[0]:.1f} %" if rate else "n/a"
            if len(interval) == 2:
                shown += f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f} %)"
            rates.append(f"{name.upper()} {shown}")
        if note := rest.pop("note", None):
            notes.append(_value(note))
        lines.append(f"{measured_on}: {', '.join(rates)}{''.join(f', {key} {_value(rest[key])}' for key in rest)}")
    return lines + list(dict.fromkeys(notes))


def _numbers(value: Any) -> list[float]:
    """A number, or those of a list; nothing for other values: a card may hold any JSON there."""
    values = value if isinstance(value, list | tuple) else [value]
    # A rate above 1000 is invalid; a whole number may exceed the range of floats.
    return [one for one in values if isinstance(one, int | float) and abs(one) <= 1000]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
