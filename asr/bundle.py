"""The model bundle: a folder with all that transcription needs. Only this module knows its file names.

    bundle.json   format number, settings of features, text and model, provenance, measured error rates
    arrays.npz    the weights (float16) and the mel matrix, as plain arrays
    model.onnx    the graph that transcription runs, with weights of 7 bits
    language.lm   the language model, if the bundle has one

A bundle is data, and may come from anywhere: its files are bounded in size, its settings checked one by one, its arrays
plain, and its graph is looked through before it runs.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from asr.acoustic.engine import AcousticModel
from asr.acoustic.onnx_engine import OnnxEngine
from asr.audio.features import LogMel
from asr.config import BeamConfig, EngineKind, FeatureConfig, ModelConfig, NormalizerConfig
from asr.decoding.confidence import FEATURES, Calibration
from asr.errors import AsrError, BundleError
from asr.files import folder_written_atomically, typed_path
from asr.text.alphabet import Alphabet

FORMAT = 1
_JSON, _ARRAYS, _GRAPH, _LANGUAGE = "bundle.json", "arrays.npz", "model.onnx", "language.lm"
# Bytes that a file, unpacked, can have at most; the largest models of this kind have a tenth.
_LARGEST = {_JSON: 10 << 20, _ARRAYS: 1 << 30, _GRAPH: 1 << 30}
_MODEL_PREFIX, _FEATURES_PREFIX = "model/", "features/"

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Bundle:
    """A trained model and everything needed to use it."""

    path: Path
    log_mel: LogMel
    """the feature extractor, with its settings"""
    normalizer: NormalizerConfig
    """how the texts it was trained on were spelled"""
    alphabet: Alphabet
    model: ModelConfig
    decoder: BeamConfig | None = None
    """how to decode what it hears, with its own language model; None for greedy"""
    priors: tuple[float, ...] = ()
    """share of each symbol in what the model says, the blank first, for the beam search; empty where it is unknown"""
    confidence: Mapping[str, Calibration] = field(default_factory=dict)
    """what the confidence of a word is worked out with, by the kind of decoder"""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """what it was trained on, when, and by which versions"""
    error_rates: Mapping[str, Any] = field(default_factory=dict)
    """measured error rates by the name of the data set"""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def bytes_on_disk(self) -> int:
        """Size of all its files."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights of the model by name."""
        with _open_arrays(self.path) as arrays:
            return {
                key.removeprefix(_MODEL_PREFIX): arrays[key].astype(np.float32)
                for key in arrays.files
                if key.startswith(_MODEL_PREFIX)
            }

    def engine(self, kind: EngineKind = EngineKind.onnx) -> AcousticModel:
        """The model for transcription.

        Parameters
        ----------
        kind : EngineKind
            `onnx` runs the bundle's graph; `onnx_float32` a graph made of its weights on the spot, with weights and
            products in float32; `keras` the Keras model.

        Raises
        ------
        BundleError
            If the graph is damaged, or is not one that `save_bundle` could have written.
        """
        if kind is EngineKind.keras:
            from asr.acoustic.keras_engine import KerasEngine

            return KerasEngine(self.keras_model(), self.model)
        mels, symbols = self.log_mel.settings.mels, self.alphabet.size
        if kind is EngineKind.onnx_float32:
            from asr.acoustic.onnx_export import export_onnx

            graph = export_onnx(self.weights(), self.model, mels=mels, symbols=symbols)
        else:
            graph = _read_bounded(self.path / _GRAPH)
            if self.path.parent != _shipped_folder():  # whose graph comes with this code
                from asr.acoustic.onnx_check import check_graph

                check_graph(graph, str(self.path / _GRAPH))
        width = self.model.outputs * symbols
        return OnnxEngine(graph, self.model, mels=mels, symbols=width, name=str(self.path / _GRAPH))

    def keras_model(self) -> Any:
        """The model as a `keras.Model`, on the Keras back end in use (as `acoustic.model.build_model` describes it).

        Raises
        ------
        BundleError
            If the weights do not fit the settings.
        """
        from asr.acoustic.model import build_model, write_weights

        model = build_model(self.model, mels=self.log_mel.settings.mels, symbols=self.alphabet.size)
        write_weights(model, self.weights())
        return model


def shipped_bundles() -> list[str]:
    """The names of the bundles that come with the package."""
    folder = _shipped_folder()
    return sorted(path.parent.name for path in folder.glob(f"*/{_JSON}"))


def _shipped_folder() -> Path:
    return Path(__file__).parent / "models"


def load_bundle(name: str | Path = "en") -> Bundle:
    """Load a bundle.

    Parameters
    ----------
    name : str or Path
        The name of a bundle that ships with the package (`"en"`), or the path of a bundle's folder. A text without a
        separator is a name: the folder `en` of the working directory is `"./en"`, or `Path("en")`.

    Returns
    -------
    Bundle
        Weights and graph stay on disk until they are asked for.

    Raises
    ------
    BundleError
        If there is no such bundle, a file of it is missing or damaged, or it was written by a newer version.

    Examples
    --------
    >>> load_bundle("en").alphabet.symbols
    " 'abcdefghijklmnopqrstuvwxyz"
    """
    path = _bundle_folder(name)
    for file in (_JSON, _ARRAYS, _GRAPH):
        if not (path / file).is_file():
            raise BundleError(f"{path}: not a bundle, {file} is missing")
    try:
        card = json.loads(_read_bounded(path / _JSON).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path / _JSON}: cannot be read ({error})") from error
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise BundleError(f"{path / _JSON}: not the description of a bundle, its format number is missing")
    if card["format"] > FORMAT:
        raise BundleError(
            f"{path}: written by a newer version of asr (bundle format {card['format']}, this one reads {FORMAT}): "
            "update asr"
        )
    try:
        features = _settings(FeatureConfig, card["features"], f"{path / _JSON}: features")
        model = _settings(ModelConfig, card["model"], f"{path / _JSON}: model")
        normalizer = _settings(NormalizerConfig, card["normalizer"], f"{path / _JSON}: normalizer")
        alphabet = Alphabet(card["alphabet"]["symbols"])
        decoder = _decoder(card["decoder"], path) if card.get("decoder") is not None else None
        priors = _priors(card.get("priors", []), alphabet, f"{path / _JSON}: priors")
        confidence = _confidence(card.get("confidence", {}), f"{path / _JSON}: confidence")
        for name in ("provenance", "error_rates"):
            if not isinstance(card.get(name, {}), dict):
                raise BundleError(f"{path / _JSON}: {name} must be an object, not {card[name]!r}")
    except KeyError as error:
        raise BundleError(f"{path / _JSON}: {error.args[0]!r} is missing") from error
    except (TypeError, AttributeError) as error:
        raise BundleError(f"{path / _JSON}: {error}") from error
    with _open_arrays(path) as arrays:
        parts = {
            name: arrays[key] for name in ("matrix", "mean", "deviation") if (key := _FEATURES_PREFIX + name) in arrays
        }
    if "matrix" not in parts or parts["matrix"].shape != (features.mels, features.fft_size // 2 + 1):
        raise BundleError(f"{path / _ARRAYS}: the mel matrix is missing or does not fit the features")
    return Bundle(
        path=path,
        log_mel=LogMel(features, **parts),
        normalizer=normalizer,
        alphabet=alphabet,
        model=model,
        decoder=decoder,
        priors=priors,
        confidence=confidence,
        provenance=card.get("provenance", {}),
        error_rates=card.get("error_rates", {}),
    )


def _bundle_folder(name: str | Path) -> Path:
    """The folder of a bundle that is named as `load_bundle` takes it; a foreign folder never hides a shipped bundle."""
    is_name = isinstance(name, str) and is_bundle_name(name)
    path = _shipped_folder() / name if is_name and name in shipped_bundles() else typed_path(name)
    if path.is_dir() and (not is_name or path.parent == _shipped_folder()):
        return path
    shipped = ", ".join(shipped_bundles()) or "none"
    if path.is_dir():
        raise BundleError(
            f"{name}: no such bundle ships ({shipped}); for the folder of that name type {bundle_argument(name)}"
        )
    raise BundleError(f"{name}: no such bundle; give a bundle's folder, or the name of one that ships ({shipped})")


def is_bundle_name(text: str) -> bool:
    """Whether a text names a shipped bundle, and is no path: it has no separator."""
    return text not in {"", ".", "..", "~"} and os.sep not in text and (os.altsep is None or os.altsep not in text)


def bundle_argument(path: str | Path) -> str:
    """The path of a bundle's folder as a user types it for `bundle=`: with a separator."""
    text = os.fspath(path)
    return f".{os.sep}{text}" if is_bundle_name(text) else text


def save_bundle(
    path: str | Path,
    *,
    weights: Mapping[str, npt.NDArray[np.float32]],
    log_mel: LogMel,
    normalizer: NormalizerConfig,
    alphabet: Alphabet,
    model: ModelConfig,
    decoder: BeamConfig | None = None,
    priors: Sequence[float] = (),
    confidence: Mapping[str, Calibration] | None = None,
    provenance: Mapping[str, Any] | None = None,
    error_rates: Mapping[str, Any] | None = None,
) -> None:
    """Write a bundle beside `path`, then put it in its place; an older one there is replaced.

    Parameters
    ----------
    path : str or Path
    weights : mapping of str to float32 arrays
        As `acoustic.model.read_weights` gives them.
    log_mel, normalizer, alphabet, model
        What the model was trained with.
    decoder : BeamConfig, optional
        How to decode what it hears; its language model, if any, is copied into the bundle.
    priors : sequence of float
        How often the model says each symbol, the blank first; empty where that is unknown.
    confidence : mapping of str to Calibration, optional
        By the kind of decoder.
    provenance, error_rates : mappings, optional
        Anything JSON can hold.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    from asr.acoustic.onnx_export import export_onnx

    halves = {name: _half(array) for name, array in weights.items()}
    arrays: dict[str, npt.NDArray[Any]] = {_MODEL_PREFIX + name: array for name, array in halves.items()}
    # The graph is made of what is kept.
    weights = {name: array.astype(np.float32) for name, array in halves.items()}
    for name in ("matrix", "mean", "deviation"):
        if (array := getattr(log_mel, name)) is not None:
            arrays[_FEATURES_PREFIX + name] = np.asarray(array, np.float32)
    card = {
        "format": FORMAT,
        "versions": {"asr": metadata.version("asr")},
        "features": _plain(log_mel.settings),
        "normalizer": _plain(normalizer),
        "alphabet": {"symbols": alphabet.symbols},
        "model": _plain(model),
        "decoder": _plain_decoder(decoder),
        "priors": [round(float(prior), 6) for prior in priors],
        "confidence": {kind: list(one.weights) for kind, one in (confidence or {}).items()},
        "provenance": dict(provenance or {}),
        "error_rates": dict(error_rates or {}),
    }
    # Read before anything is replaced: it may be the language model of an older bundle at the same path.
    language = typed_path(decoder.lm).read_bytes() if decoder is not None and decoder.lm is not None else b""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with folder_written_atomically(path) as folder:
        (folder / _ARRAYS).write_bytes(buffer.getvalue())
        (folder / _GRAPH).write_bytes(
            export_onnx(weights, model, mels=log_mel.settings.mels, symbols=alphabet.size, quantized=True)
        )
        if decoder is not None and decoder.lm is not None:
            (folder / _LANGUAGE).write_bytes(language)
        (folder / _JSON).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")


def copy_bundle(
    source: Bundle,
    path: str | Path,
    *,
    decoder: BeamConfig | None = None,
    priors: Sequence[float] | None = None,
    confidence: Mapping[str, Calibration] | None = None,
    provenance: Mapping[str, Any] | None = None,
    error_rates: Mapping[str, Any] | None = None,
) -> None:
    """Write a bundle again under another path, with another card; arguments as in `save_bundle`."""
    save_bundle(
        path,
        weights=source.weights(),
        log_mel=source.log_mel,
        normalizer=source.normalizer,
        alphabet=source.alphabet,
        model=source.model,
        decoder=source.decoder if decoder is None else decoder,
        priors=source.priors if priors is None else priors,
        confidence=source.confidence if confidence is None else confidence,
        provenance=source.provenance if provenance is None else provenance,
        error_rates=source.error_rates if error_rates is None else error_rates,
    )


def _half(array: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """As float16; as it is, if that cannot hold it."""
    return array.astype(np.float16) if np.abs(array).max(initial=0) < np.finfo(np.float16).max else array


def _read_bounded(file: Path) -> bytes:
    """A file of a bundle, if it is no larger than one can be."""
    try:
        if file.stat().st_size > _LARGEST[file.name]:
            raise BundleError(f"{file}: {file.stat().st_size / 1e6:,.0f} MB are more than a bundle's can have")
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror})") from error


@contextmanager
def _open_arrays(path: Path) -> Iterator[Any]:
    try:
        # The file is opened here: numpy.load would leave a damaged one open.
        with (path / _ARRAYS).open("rb") as file:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(one.file_size for one in archive.infolist())
            if unpacked > _LARGEST[_ARRAYS]:
                raise BundleError(
                    f"{path / _ARRAYS}: {unpacked / 1e6:,.0f} MB unpacked are more than a bundle's can have"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise BundleError(f"{path / _ARRAYS}: cannot be read ({error})") from error


def _plain_decoder(decoder: BeamConfig | None) -> dict[str, Any] | None:
    """Without what is on somebody's disk, but whether there is a language model."""
    if decoder is None:
        return None
    kept = _plain(decoder)
    for name in ("lexicon", "hotwords", "hotwords_file", "hotword_weight"):
        del kept[name]
    return kept | {"lm": decoder.lm is not None}


def _priors(values: Any, alphabet: Alphabet, where: str) -> tuple[float, ...]:
    shares = isinstance(values, list) and all(type(one) in (int, float) and 0 <= one <= 1 for one in values)
    if not shares or len(values) not in (0, alphabet.size):
        raise BundleError(f"{where} must be a list of {alphabet.size} shares, or empty")
    return tuple(map(float, values))


def _confidence(values: Any, where: str) -> dict[str, Calibration]:
    if not isinstance(values, dict):
        raise BundleError(f"{where} must be an object, not {values!r}")
    for kind, weights in values.items():
        numbers = isinstance(weights, list) and all(type(one) in (int, float) and math.isfinite(one) for one in weights)
        if not numbers or len(weights) != len(FEATURES):
            raise BundleError(f"{where}.{kind} must be a list of {len(FEATURES)} numbers; calibrate it by `asr tune`")
    return {kind: Calibration(tuple(weights)) for kind, weights in values.items()}


def _decoder(values: Any, path: Path) -> BeamConfig:
    where = f"{path / _JSON}: decoder"
    if not isinstance(values, dict):
        raise BundleError(f"{where} must be an object, not {values!r}")
    values = dict(values)
    has_model = bool(values.pop("lm", False))
    if has_model and not (path / _LANGUAGE).is_file():
        raise BundleError(f"{path}: {_LANGUAGE} is missing")
    settings = _settings(BeamConfig, values, where)
    return replace(settings, lm=str(path / _LANGUAGE)) if has_model else settings


def _plain(settings: Any) -> dict[str, Any]:
    return {key: value.name if isinstance(value, Enum) else value for key, value in asdict(settings).items()}


def _settings(kind: type[Settings], values: Any, where: str) -> Settings:
    """Settings from JSON, every key and type checked: a bundle may come from anywhere."""
    if not isinstance(values, dict):
        raise BundleError(f"{where} must be an object, not {values!r}")
    types = get_type_hints(kind)
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise BundleError(f"{where} has {', '.join(unknown)}, which this version of asr does not know")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        wanted = types[name]
        if value is None and type(None) in get_args(wanted):
            arguments[name] = None
            continue
        wanted = next((part for part in get_args(wanted) if part is not type(None)), wanted)
        if get_origin(types[name]) is list:
            raise BundleError(f"{where} has {name}, which a bundle does not keep")
        if issubclass(wanted, Enum):
            if value not in wanted.__members__:
                raise BundleError(f"{where}.{name} must be one of {', '.join(wanted.__members__)}, not {value!r}")
            value = wanted[value]
        elif type(value) is not wanted and not (wanted is float and type(value) is int):
            raise BundleError(f"{where}.{name} must be a {wanted.__name__}, not {value!r}")
        arguments[name] = value
    try:
        return kind(**arguments)
    except AsrError as error:
        raise BundleError(f"{where}: {error}") from error
