"""The arrays of a bundle: plain numbers of the shapes that its card calls for, read one by one.

Format 2 keeps them in files of safetensors (`asr.tensors`), format 1 kept them in `arrays.npz`.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import BundleError
from asr.tensors import Tensors, TensorsError

Shape = tuple[int, ...]

_UNPACKED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ENCRYPTED = 1
_FLOATS = ("float16", "float32", "float64")


class Arrays(ABC):
    """An open file of arrays.

    Parameters
    ----------
    where : str
        The file's path, which opens every message.
    names : list of str
    """

    def __init__(self, where: str, names: list[str]) -> None:
        self.where, self.names = where, names

    @abstractmethod
    def head(self, name: str) -> tuple[Shape, np.dtype[Any]]:
        """The shape and type of an array, which is not read.

        Raises
        ------
        ValueError, KeyError
            If it is damaged or missing, for `open_npz` to name the file.
        """

    @abstractmethod
    def numbers(self, name: str) -> npt.NDArray[Any]:
        """An array as it is in the file; errors as in `head`."""

    def shape(self, name: str) -> Shape:
        """The shape of an array.

        Raises
        ------
        BundleError
            If it does not hold floating-point numbers.
        ValueError, KeyError
            As `head`.
        """
        shape, dtype = self.head(name)
        if dtype.name not in _FLOATS:
            raise BundleError(f"{self.where}: {name} must hold floating-point numbers, not {str(dtype)[:80]}")
        return shape

    def check(self, name: str, shape: Shape) -> None:
        """Refuse an array that does not hold floating-point numbers, or has another shape; it is not read."""
        found = self.shape(name)
        if found != shape:
            raise BundleError(f"{self.where}: {name} must have shape {shape}, not {found}")

    def read(self, name: str, shape: Shape, *, least: float | None = None, largest: float) -> npt.NDArray[np.float32]:
        """An array of finite numbers, in float32.

        Parameters
        ----------
        name : str
        shape : tuple of int
        least : float, optional
            The lowest number that it may hold; minus `largest` by default.
        largest : float
            The highest one.

        Raises
        ------
        BundleError
            As `check`; and if a number is infinite, NaN or out of those bounds.
        """
        self.check(name, shape)
        array = self.numbers(name)
        with np.errstate(over="ignore"):  # it becomes infinite, which is refused below
            numbers: npt.NDArray[np.float32] = array.astype(np.float32)
        least = -largest if least is None else least
        if not ((numbers >= least) & (numbers <= largest)).all():  # which no NaN is
            raise BundleError(f"{self.where}: {name} must hold finite numbers from {least:g} to {largest:g} only")
        return numbers


class TensorArrays(Arrays):
    """Those of a file of safetensors."""

    def __init__(self, tensors: Tensors, where: str) -> None:
        super().__init__(where, tensors.names)
        self._tensors = tensors

    def head(self, name: str) -> tuple[Shape, np.dtype[Any]]:
        return self._tensors.shape(name), self._tensors.dtype(name)

    def numbers(self, name: str) -> npt.NDArray[Any]:
        return self._tensors.read(name)


class NpzArrays(Arrays):
    """Those of a file that NumPy wrote."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        super().__init__(where, [name.removesuffix(".npy") for name in archive.namelist()])
        self._archive = archive

    def head(self, name: str) -> tuple[Shape, np.dtype[Any]]:
        with self._open(name) as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"{name} is of format {version}")
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            held = self._archive.getinfo(f"{name}.npy").file_size - file.tell()
        if dtype.name in _FLOATS and math.prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{name} has {held} bytes, which are not those of {shape} numbers of {dtype}")
        return shape, dtype

    def numbers(self, name: str) -> npt.NDArray[Any]:
        with self._open(name) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array

    @contextmanager
    def _open(self, name: str) -> Iterator[Any]:
        info = self._archive.getinfo(f"{name}.npy")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (_UNPACKED, _DEFLATED):
            raise ValueError(f"{name} is encrypted, or packed by an unknown method")
        with self._archive.open(info) as file:
            yield file


def open_tensors(path: Path, digest: str, *, whole: bool) -> TensorArrays:
    """Open a file of arrays of format 2.

    Parameters
    ----------
    path : Path
    digest : str
        That of its header, by the card.
    whole : bool
        Compare its content, too, with the digest in its header: that reads all of it.

    Raises
    ------
    BundleError
        If it cannot be opened, is damaged, or belongs to another bundle.
    """
    try:
        tensors = Tensors(path)
        check_digest(path, tensors.header_digest, digest)
        if whole:
            tensors.check_content()
    except TensorsError as error:
        raise BundleError(f"{path}: {error}") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    return TensorArrays(tensors, str(path))


def check_digest(path: Path, found: str, wanted: str) -> None:
    """Refuse a file that is not the one that its card names by a digest."""
    if found != wanted:
        raise BundleError(
            f"{path}: does not belong to this bundle, or is damaged: its digest is not the one in bundle.json"
        )


@contextmanager
def open_npz(path: Path, *, largest: int) -> Iterator[Arrays]:
    """Open the file of arrays of format 1.

    Parameters
    ----------
    path : Path
    largest : int
        Bytes that it can have unpacked.

    Raises
    ------
    BundleError
        If it cannot be opened, is damaged, or has more than that; also for what is found while it is open.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
            if unpacked > largest:
                raise BundleError(f"{path}: {unpacked / 1e6:,.0f} MB unpacked are more than a bundle's can have")
            yield NpzArrays(archive, str(path))
    except (
        *(OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, OverflowError, RecursionError),
        *(SyntaxError, tokenize.TokenError),  # of the head of an array, which is written in Python
        *(zipfile.BadZipFile, NotImplementedError, struct.error, zlib.error),
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(f"{path}: cannot be read ({reason[:200]})") from error
