"""Files of arrays in the format of safetensors: written by its library, mapped into memory by this module.

    8 bytes     length of the header, little-endian
    header      JSON: the type, shape and place of each array; under `__metadata__` a description and a digest
    arrays      one behind the other

Reading does not copy: a large file opens as fast as a small one. The header holds the SHA-256 of the arrays, so that
the digest of the header alone identifies the file. It is data: reading it runs no code from it.

Source: https://huggingface.co/docs/safetensors (the format).
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]

_LENGTH_BYTES = 8
_LARGEST_HEADER = 1 << 20
_METADATA, _OURS = "__metadata__", "asr"
_TYPES: dict[str, type[np.generic]] = {
    "I8": np.int8,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
_NO_DIGEST = "0" * 64
_MOST_DIMENSIONS = 32  # of NumPy's arrays, in every version


class TensorsError(Exception):
    """A file that is not one of `pack_tensors`, or a damaged one; the text says why, without its path."""


class Tensors:
    """A file of arrays that is mapped into memory.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    TensorsError
        If it is no whole file of the format, or one that `pack_tensors` did not write.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        with open(path, "rb") as file:
            opening = file.read(_LENGTH_BYTES)
            length = int.from_bytes(opening, "little")
            if len(opening) < _LENGTH_BYTES or length > _LARGEST_HEADER:
                raise TensorsError("the file is cut short, or its header is damaged")
            header = file.read(length)
            if len(header) < length:
                raise TensorsError("the file is cut short")
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._start = _LENGTH_BYTES + length
        self.header_digest = hashlib.sha256(header).hexdigest()
        """SHA-256 of the header"""
        try:
            entries = json.loads(header.decode("utf-8"), object_pairs_hook=_unique)
            ours = json.loads(entries.pop(_METADATA)[_OURS], object_pairs_hook=_unique)
            self.description: dict[str, Any] = ours["description"]
            """what `pack_tensors` was given"""
            self._digest: str = ours["sha256"]
            if not isinstance(self.description, dict) or not isinstance(self._digest, str):
                raise ValueError("its description is no object")
            self._places = {str(name): _place(name, entry) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TensorsError(f"its header is damaged ({str(error)[:200]})") from error
        end = 0
        for begin, stop in sorted((begin, stop) for _, _, begin, stop in self._places.values()):
            if begin != end:
                raise TensorsError("its header is damaged (arrays overlap, or there is something between them)")
            end = stop
        if self._start + end != len(self._content):
            raise TensorsError(f"has {len(self._content)} bytes, and its header is of one with {self._start + end}")

    @property
    def names(self) -> list[str]:
        """The names of the arrays."""
        return list(self._places)

    def shape(self, name: str) -> Shape:
        """The shape of an array."""
        return self._places[name][1]

    def dtype(self, name: str) -> np.dtype[Any]:
        """The type of an array's numbers."""
        return self._places[name][0]

    def read(self, name: str) -> npt.NDArray[Any]:
        """An array, which cannot be written to: a view of the file."""
        dtype, shape, begin, _ = self._places[name]
        count = math.prod(shape)
        if not count:
            return np.zeros(shape, dtype)
        return np.frombuffer(self._content, dtype, count, self._start + begin).reshape(shape)

    def release(self) -> None:
        """Give back the memory of what was read of the file so far: reading it again is as before."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._content.madvise(mmap.MADV_DONTNEED)

    def check_content(self) -> None:
        """Compare all arrays with the digest in the header.

        Raises
        ------
        TensorsError
            If a byte of them has changed.
        """
        with memoryview(self._content) as content, content[self._start :] as arrays:
            if hashlib.sha256(arrays).hexdigest() != self._digest:
                raise TensorsError("is damaged: its arrays are not those that its header was written for")


def pack_tensors(arrays: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]) -> bytes:
    """The content of a file of arrays.

    Parameters
    ----------
    arrays : mapping
        Of integers of 8 bits, unsigned integers to 32 bits, or floating-point numbers.
    description : mapping
        Anything JSON can hold.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    ours = json.dumps({"sha256": _NO_DIGEST, "description": dict(description)})
    content = bytearray(save(contiguous, {_OURS: ours}))
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    place = content.index(_NO_DIGEST.encode(), 0, start)
    content[place : place + len(_NO_DIGEST)] = hashlib.sha256(memoryview(content)[start:]).hexdigest().encode()
    return bytes(content)


def header_digest(content: bytes) -> str:
    """The `Tensors.header_digest` of what `pack_tensors` made."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    return hashlib.sha256(content[_LENGTH_BYTES : _LENGTH_BYTES + length]).hexdigest()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name comes twice")
    return values


def _place(name: str, entry: Mapping[str, Any]) -> tuple[np.dtype[Any], Shape, int, int]:
    if set(entry) != {"dtype", "shape", "data_offsets"} or not isinstance(entry["dtype"], str):
        raise ValueError(f"the entry of {name!r}")
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if not all(type(one) is int and one >= 0 for one in (*shape, begin, end)) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"the place of {name!r}")
    dtype = np.dtype(_TYPES[entry["dtype"]]).newbyteorder("<")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"the size of {name!r}")
    return dtype, tuple(shape), begin, end
