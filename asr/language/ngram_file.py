"""The file of a language model (.lm): mapped into memory, not read, so that a large one starts as fast as a small one.

It is a file of arrays (`asr.tensors`) that is described by its format number, unit, counts and provenance. Format 1, of
earlier versions, had a container of its own, which is still read:

    8 bytes     magic
    8 bytes     length of the header, little-endian
    header      JSON: format number, unit, counts, provenance, and the type, length and place of each array
    arrays      one behind the other, each starting at a multiple of 64 bytes

It holds data, no code; a file whose parts do not fit together is refused.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import LanguageModelError
from asr.files import check_file, write_atomically
from asr.language.ngram import SPECIAL_WORDS, NgramModel, Numbers, Quantized, check_words, quantize
from asr.language.trie import Trie
from asr.settings.language import LanguageUnit
from asr.tensors import Tensors, TensorsError, pack_tensors

FORMAT = 2
_KIND = "asr language model"
_MAGIC = b"\x89asr-lm\n"
_ALIGNMENT = 64
_TYPES = {"uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "float32": np.float32}
# By the last word of an array's name; all others hold numbers.
_TYPES_OF = {"words": ("uint8",), "labels": ("uint16", "uint32"), "first": ("uint32",), "codes": ("uint8",)}
_LARGEST_HEADER = 1 << 20


def save_ngram(
    path: str | Path,
    model: NgramModel,
    *,
    quantized: bool = True,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a language model atomically; it replaces an older language model, and no other file.

    Parameters
    ----------
    path : str or Path
    model : NgramModel
    quantized : bool
        Keep the numbers of all orders but the first as one byte each instead of four: log-probabilities change by
        about 0.01.
    provenance : mapping, optional
        How it was made; any JSON object.
    overwrite : bool
        Replace any file.

    Raises
    ------
    OutputError
        If there is a file at `path` that is no language model of this format.
    OSError
        If the file cannot be written.
    """
    check_file(path, is_ours=is_ngram_file, overwrite=overwrite)
    write_atomically(path, ngram_content(model, quantized=quantized, provenance=provenance))


def ngram_content(model: NgramModel, *, quantized: bool = True, provenance: Mapping[str, Any] | None = None) -> bytes:
    """The content of the file that `save_ngram` writes; arguments as there."""
    label_type = np.uint16 if len(model.words) <= 1 << 16 else np.uint32
    arrays: dict[str, npt.NDArray[Any]] = {
        "words": np.frombuffer("\n".join(model.words).encode(), np.uint8),
        "labels": model.trie.labels.astype(label_type),
        "first": model.trie.first.astype(np.uint32),
    }
    for name, levels in (("log_probs", model.log_probs), ("backoffs", model.backoffs)):
        for level, numbers in enumerate(levels, start=1):
            if quantized and level > 1 and not isinstance(numbers, Quantized):
                numbers = quantize(numbers)
            if isinstance(numbers, Quantized):
                arrays[f"{name}/{level}/codes"], arrays[f"{name}/{level}/values"] = numbers.codes, numbers.values
            else:
                arrays[f"{name}/{level}"] = numbers
    description = {
        "kind": _KIND,
        "format": FORMAT,
        "unit": model.unit.value,
        "counts": list(model.counts),
        "provenance": dict(provenance or {}),
    }
    return pack_tensors(arrays, description)


def is_ngram_file(path: str | Path) -> bool:
    """Whether a file begins as those that `save_ngram` writes."""
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            return True
    try:
        return Tensors(path).description.get("kind") == _KIND
    except TensorsError:
        return False


def load_ngram(path: str | Path, *, whole: bool = False) -> NgramModel:
    """Map a language model into memory; only the outline of the tree is read at once.

    Parameters
    ----------
    path : str or Path
    whole : bool
        Read all of it, and compare it with its digest (format 1 has none).

    Raises
    ------
    LanguageModelError
        If it is not a whole file that `save_ngram` wrote, its parts do not fit together, or it knows no words.
    OSError
        If it cannot be opened.
    """
    header, arrays, release = _read(path, whole=whole)

    def numbers(name: str) -> Numbers:
        if f"{name}/codes" in arrays:
            codes, values = arrays[f"{name}/codes"], arrays[f"{name}/values"]
            if len(codes) and int(codes.max()) >= len(values):
                raise LanguageModelError(path, f"its array {name} is damaged")
            release()
            return Quantized(codes, values)
        return arrays[name]

    try:
        unit = LanguageUnit(header["unit"])
        words = arrays["words"].tobytes().decode().split("\n")
        trie = Trie(arrays["labels"], arrays["first"])
        order = len(header["counts"])
        log_probs = tuple(numbers(f"log_probs/{level}") for level in range(1, order + 1))
        backoffs = tuple(numbers(f"backoffs/{level}") for level in range(1, order))
    except (KeyError, ValueError, TypeError) as error:
        raise LanguageModelError(path, f"its header is damaged ({error})") from error
    model = NgramModel(unit, words, trie, log_probs, backoffs)
    for name, levels in (("log_probs", log_probs), ("backoffs", backoffs)):
        for level in levels:
            values = level.values if isinstance(level, Quantized) else level
            if not np.isfinite(values).all() or (name == "log_probs" and values.max(initial=0) > 1e-5):
                raise LanguageModelError(path, f"its array {name} holds impossible values")
            release()
    inner = 1 + sum(model.counts[:-1])
    fits = (
        list(model.counts) == header["counts"]
        and len(words) == model.counts[0]
        and tuple(words[:3]) == SPECIAL_WORDS
        and len(trie.labels) == 1 + sum(model.counts)
        and [len(level) for level in backoffs] == list(model.counts[:-1])
        and len(trie.first) == inner + 1
        and trie.first[0] == 1
        and trie.first[-1] == len(trie.labels)
        and bool((trie.first[1:] >= trie.first[:-1]).all())
    )
    release()
    fits = fits and int(trie.labels.max()) < len(words)
    release()
    if not fits:
        raise LanguageModelError(path, "its parts do not fit together; make it again with `asr lm`")
    check_words(path, words)
    return model


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The provenance that `save_ngram` was given; errors as in `load_ngram`."""
    return dict(_read(path)[0].get("provenance", {}))


def _read(
    path: str | Path, *, whole: bool = False
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], Callable[[], None]]:
    """The description of a model; its arrays; and what gives back the memory of their parts that were read."""
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            return *_read_format_1(path), lambda: None
    try:
        tensors = Tensors(path)
        if whole:
            tensors.check_content()
            tensors.release()
        header = tensors.description
        if header.get("kind") != _KIND:
            raise LanguageModelError(path, "not a language model that `asr lm` wrote")
        _check_header(path, header)
        arrays = {name: tensors.read(name) for name in tensors.names}
        for name, array in arrays.items():
            _check_type(name, array.dtype.name)
            if array.ndim != 1:
                raise ValueError(f"its array {name} has {array.ndim} dimensions")
    except TensorsError as error:
        raise LanguageModelError(path, str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LanguageModelError(path, f"its header is damaged ({error})") from error
    return header, arrays, tensors.release


def _check_header(path: str | Path, header: Mapping[str, Any]) -> None:
    if type(header["format"]) is not int or header["format"] < 1:
        raise ValueError("its format is no number")
    if header["format"] > FORMAT:
        raise LanguageModelError(path, f"written by a newer version of asr (format {header['format']}): update asr")
    if not isinstance(header.get("provenance", {}), dict):
        raise ValueError("its provenance is no object")


def _check_type(name: str, kind: str) -> None:
    if kind not in _TYPES_OF.get(name.rpartition("/")[2], ("float32",)):
        raise ValueError(f"its array {name} is of type {kind}")


def _read_format_1(path: str | Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    with open(path, "rb") as file:
        opening = file.read(len(_MAGIC) + 8)
        length = int.from_bytes(opening[len(_MAGIC) :], "little")
        if length > _LARGEST_HEADER:
            raise LanguageModelError(path, "its header is damaged")
        try:
            header = json.loads(file.read(length))
            _check_header(path, header)
            places = {
                name: (_TYPES[one["type"]], one["length"], one["offset"]) for name, one in header["arrays"].items()
            }
            for name, one in header["arrays"].items():
                _check_type(name, one["type"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise LanguageModelError(path, f"its header is damaged ({error})") from error
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = len(opening) + length
    arrays = {}
    for name, (kind, count, offset) in places.items():
        if type(count) is not int or type(offset) is not int or count < 0 or offset < 0:
            raise LanguageModelError(path, f"its header is damaged (place of the array {name})")
        if start + offset + _padded(count * np.dtype(kind).itemsize) > len(content):
            raise LanguageModelError(path, f"the file is cut short, or its array {name} is damaged")
        arrays[name] = np.frombuffer(content, np.dtype(kind).newbyteorder("<"), count, start + offset)
    return header, arrays


def _padded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
