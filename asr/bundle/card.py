"""The card of a bundle, `bundle.json`: settings, alphabet, decoder, measurements. Read with every value checked.

A card may come from anywhere. Settings meet the same check as those of YAML and Python (`asr.settings.checks`); the
rest of the card is checked here. Every problem is one `BundleError` that names the file, the key and what was wanted.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from typing import Any, TypeVar

from asr.decoding.confidence import FEATURES, Calibration
from asr.errors import BundleError, ConfigError
from asr.files import names_without_folders
from asr.packages import asr_version
from asr.pronunciation.packed import MOST_PHONES
from asr.pronunciation.phones import PhoneSet
from asr.settings.checks import shown
from asr.settings.decoding import BeamConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import Alphabet
from asr.text.pieces import PieceAlphabet

FORMAT = 2
# Objects and lists within each other; a model that was fine-tuned from another one keeps that one's provenance in two.
_DEEPEST = 100
_LONGEST_KEY = 60
_LARGEST_CONFIDENCE_WEIGHT = 1e6
_DIGEST = re.compile("[0-9a-f]{64}")
_SHIPPED_NAME = re.compile("[a-z0-9][a-z0-9-]{0,39}")
# Files of the machine that the bundle was made on.
_FILES = ("lm", "pronunciations", "g2p", "second_pass")
_NOT_KEPT = ("lexicon", "hotwords", "hotwords_file")

Settings = TypeVar("Settings")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card says, checked."""

    features: FeatureConfig
    normalizer: NormalizerConfig
    alphabet: Alphabet
    model: ModelConfig
    phones: PhoneSet | None
    """of the model's output layer over phones, if it has one"""
    decoder: BeamConfig | None
    """without the paths of its files"""
    has_language_model: bool
    has_pronunciations: bool
    has_g2p: bool
    has_second_pass: bool
    priors: tuple[float, ...]
    """of format 1; later formats keep them with the arrays"""
    confidence: Mapping[str, Calibration]
    """of format 1; later formats keep them with the arrays"""
    digests: Mapping[str, str]
    """of the bundle's other files, by name; empty in format 1, which has none"""
    shared: Mapping[str, str]
    """files that lie in a shipped bundle, and its name"""
    provenance: Mapping[str, Any]
    error_rates: Mapping[str, Any]

    @property
    def decoder_width(self) -> int:
        """Symbols of the output layer that the decoder reads."""
        return self.phones.size if self.phones and self.has_pronunciations else self.alphabet.size


def read_card(content: bytes, where: str) -> Card:
    """Read a card.

    Parameters
    ----------
    content : bytes
        JSON in UTF-8.
    where : str
        The file's path, which opens every message.

    Raises
    ------
    BundleError
        If it is not JSON, was written by a newer version, or holds a value that cannot be used.
    """
    card = _parse(content, where)
    if not isinstance(card, dict) or type(card.get("format")) is not int or card["format"] < 1:
        raise BundleError(f"{where}: not the description of a bundle, its format number is missing or none")
    if card["format"] > FORMAT:
        raise BundleError(
            f"{where}: format is {shown(card['format'])}, written by a newer version of asr (this one reads {FORMAT}): "
            "update asr"
        )
    alphabet = _alphabet(_object(card, "alphabet", where), where)
    decoder, has = _decoder(card, where)
    model = _settings(ModelConfig, card, "model", where)
    phones = _phones(card, where) if model.phone_output else None
    if has["pronunciations"] and phones is None:
        raise BundleError(f"{where}: decoder.pronunciations without an output over phones (model.phone_output)")
    old = card if card["format"] == 1 else {}
    checked = Card(
        features=_settings(FeatureConfig, card, "features", where),
        normalizer=_settings(NormalizerConfig, card, "normalizer", where),
        alphabet=alphabet,
        model=model,
        phones=phones,
        decoder=decoder,
        has_language_model=has["lm"],
        has_pronunciations=has["pronunciations"],
        has_g2p=has["g2p"],
        has_second_pass=has["second_pass"],
        priors=(),
        confidence=checked_confidence(_object(old, "confidence", where, default={}), where),
        digests={} if old else _digests(card, where),
        shared={} if old else _shared(card, where),
        provenance=_object(card, "provenance", where, default={}),
        error_rates=_object(card, "error_rates", where, default={}),
    )
    checked = replace(checked, priors=checked_priors(old.get("priors", []), checked.decoder_width, f"{where}: priors"))
    _check_content(card, where)
    return checked


def write_card(
    *,
    features: FeatureConfig,
    normalizer: NormalizerConfig,
    alphabet: Alphabet,
    model: ModelConfig,
    phones: PhoneSet | None,
    decoder: BeamConfig | None,
    digests: Mapping[str, str],
    shared: Mapping[str, str],
    provenance: Mapping[str, Any],
    error_rates: Mapping[str, Any],
) -> bytes:
    """The content of a card that `read_card` reads."""
    card = {
        "format": FORMAT,
        "versions": {"asr": asr_version()},
        "features": _plain(features),
        "normalizer": _plain(normalizer),
        "alphabet": _plain_alphabet(alphabet),
        "model": _plain(model),
        **({"phones": list(phones.phones)} if phones else {}),
        "decoder": _plain_decoder(decoder),
        "digests": dict(digests),
        **({"shared": dict(shared)} if shared else {}),
        # Folders of the machine that made the bundle do not concern its users.
        "provenance": _writable(_without_folders(provenance)),
        "error_rates": _writable(_without_folders(error_rates)),
    }
    content = (json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    read_card(content, "bundle.json")  # what cannot be read again is not written
    return content


def _parse(content: bytes, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise BundleError(f"{where}: the key {shown(twice)} comes twice in the same object")
        return values

    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: cannot be read ({str(error)[:200]})") from error


def _check_content(value: Any, where: str, key: str = "", depth: int = 0) -> None:
    """Refuse values that JSON allows but that cannot be used: infinite numbers, control characters, deep nesting."""
    if depth > _DEEPEST:
        raise BundleError(f"{where}: {key[:80]} is nested more than {_DEEPEST} levels deep")
    if isinstance(value, dict):
        for name, one in value.items():
            if not _is_writable(name):
                raise BundleError(f"{where}: {key or 'the card'} has the key {shown(name)}, which is not plain text")
            _check_content(one, where, f"{key}.{_short(name)}" if key else _short(name), depth + 1)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _check_content(one, where, f"{key}[{index}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BundleError(f"{where}: {key} must be a finite number, not {value!r}")
    elif isinstance(value, str) and not _is_writable(value):
        raise BundleError(f"{where}: {key} must be plain text, not {shown(value)}")


def _is_writable(text: str) -> bool:
    """Whether a text has no control characters but line breaks and tabs, and no halves of characters."""
    return text.isprintable() or not any(
        unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\r\t" for one in text
    )


def _without_folders(value: Any) -> Any:
    """A value with the last parts of the absolute paths in it, also where a text lists several of them."""
    if isinstance(value, Mapping):
        return {_without_folders(name): _without_folders(one) for name, one in value.items()}
    if isinstance(value, str):
        return ", ".join(names_without_folders(value.split(", ")).values())
    if isinstance(value, list | tuple):
        if all(isinstance(one, str) for one in value):
            short = names_without_folders(value)
            return [short[one] for one in value]
        return [_without_folders(one) for one in value]
    return value


def _writable(value: Any, depth: int = 2) -> Any:
    """A value as a card can hold it: null for an infinite number, escapes for control characters, bounded nesting."""
    if depth >= _DEEPEST and isinstance(value, Mapping | list | tuple):
        return "..."
    if isinstance(value, Mapping):
        return {str(_writable(name)): _writable(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(one, depth + 1) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str) and not _is_writable(value):
        return "".join(one if _is_writable(one) else one.encode("unicode_escape").decode() for one in value)
    return value


def _object(card: Mapping[str, Any], key: str, where: str, *, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if key not in card and default is None:
        raise BundleError(f"{where}: {key!r} is missing")
    value = card.get(key, default)
    if not isinstance(value, dict):
        raise BundleError(f"{where}: {key} must be an object, not {shown(value)}")
    return value


def _settings(kind: type[Settings], card: Mapping[str, Any], section: str, where: str) -> Settings:
    values = _object(card, section, where)
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        names = ", ".join(name if name.isprintable() else shown(name) for name in unknown)
        raise BundleError(f"{where}: {section} has {names[:200]}, which this version of asr does not know")
    try:
        return kind(**values)
    except ConfigError as error:
        raise BundleError(f"{where}: {error}") from error


def _plain_alphabet(alphabet: Alphabet) -> dict[str, Any]:
    if isinstance(alphabet, PieceAlphabet):
        return {"pieces": list(alphabet.symbols), "scores": list(alphabet.scores)}
    return {"symbols": alphabet.symbols}


def _alphabet(values: Mapping[str, Any], where: str) -> Alphabet:
    if "symbols" not in values and "pieces" not in values:
        raise BundleError(f"{where}: alphabet: 'symbols' is missing")
    try:
        if "pieces" in values:
            for name in ("pieces", "scores"):
                if not isinstance(values.get(name), list):
                    raise BundleError(f"{where}: alphabet.{name} must be a list, not {shown(values.get(name))}")
            return PieceAlphabet(values["pieces"], values["scores"])
        return Alphabet(values["symbols"])
    except ConfigError as error:
        raise BundleError(f"{where}: {error}") from error


def _phones(card: Mapping[str, Any], where: str) -> PhoneSet:
    names = card.get("phones")
    if not isinstance(names, list) or not all(isinstance(one, str) and one.isprintable() and one for one in names):
        raise BundleError(f"{where}: phones must be a list of names (model.phone_output), not {shown(names)}")
    if len(names) > MOST_PHONES:
        raise BundleError(f"{where}: phones must be at most {MOST_PHONES}, not {len(names)}")
    try:
        return PhoneSet(tuple(names))
    except ConfigError as error:
        raise BundleError(f"{where}: phones: {error}") from error


def _decoder(card: Mapping[str, Any], where: str) -> tuple[BeamConfig | None, dict[str, bool]]:
    """The decoder, and for which of the settings in `_FILES` the bundle has a file."""
    if card.get("decoder") is None:
        return None, dict.fromkeys(_FILES, False)
    values = dict(_object(card, "decoder", where))
    has = {name: values.pop(name, False) for name in _FILES}
    for name, value in has.items():
        if not isinstance(value, bool):
            raise BundleError(f"{where}: decoder.{_short(name)} must be true or false, not {shown(value)}")
    for name in _NOT_KEPT:
        if name in values:
            raise BundleError(f"{where}: decoder has {_short(name)}, which a bundle does not keep")
    return _settings(BeamConfig, {"decoder": values}, "decoder", where), has


def checked_priors(values: Any, width: int, where: str) -> tuple[float, ...]:
    """The shares of symbols, which are as many as the output layer has, or none; `where` opens the message."""
    shares = isinstance(values, list) and all(type(one) in (int, float) and 0 <= one <= 1 for one in values)
    if not shares or len(values) not in (0, width):
        raise BundleError(f"{where} must be a list of {width} shares, or empty, not {shown(values)}")
    return tuple(map(float, values))


def _digests(card: Mapping[str, Any], where: str) -> dict[str, str]:
    values = _object(card, "digests", where)
    for name, digest in values.items():
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            key = f"digests.{_short(name)}"
            raise BundleError(f"{where}: {key} must be a SHA-256 in hexadecimal digits, not {shown(digest)}")
    return values


def _short(key: str) -> str:
    """A key of a card as messages name it: one that a damaged card has may be of any length."""
    return key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}…"


def _shared(card: Mapping[str, Any], where: str) -> dict[str, str]:
    values = _object(card, "shared", where, default={})
    for name, owner in values.items():
        if not isinstance(owner, str) or not _SHIPPED_NAME.fullmatch(owner):
            key = f"shared.{_short(name)}"
            raise BundleError(f"{where}: {key} must be the name of a shipped bundle, not {shown(owner)}")
    return values


def checked_confidence(values: Mapping[str, Any], where: str) -> dict[str, Calibration]:
    """The calibration of each kind of decoder; `where` opens the message."""
    for kind, weights in values.items():
        numbers = isinstance(weights, list) and all(
            type(one) in (int, float) and abs(one) <= _LARGEST_CONFIDENCE_WEIGHT for one in weights
        )
        if not numbers or len(weights) != len(FEATURES):
            key = f"confidence.{_short(kind)}"
            raise BundleError(f"{where}: {key} must be a list of {len(FEATURES)} numbers; calibrate it by `asr tune`")
    return {kind: Calibration(tuple(map(float, weights))) for kind, weights in values.items()}


def _plain(settings: Any) -> dict[str, Any]:
    return {key: value.name if isinstance(value, Enum) else value for key, value in asdict(settings).items()}


def _plain_decoder(decoder: BeamConfig | None) -> dict[str, Any] | None:
    """Without the files of this machine, but which of them there are."""
    if decoder is None:
        return None
    kept = {name: value for name, value in _plain(decoder).items() if name not in (*_NOT_KEPT, "hotword_weight")}
    return kept | {name: getattr(decoder, name) is not None for name in _FILES}
