"""The arrays of a bundle, `arrays.npz`: plain numbers of the shapes that its card calls for, read one by one."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import BundleError

Shape = tuple[int, ...]

_UNPACKED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ENCRYPTED = 1
_FLOATS = ("float16", "float32", "float64")


class Arrays:
    """An open file of arrays.

    Parameters
    ----------
    archive : zipfile.ZipFile
    where : str
        The file's path, which opens every message.
    """

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self._archive, self._where = archive, where
        self.names = [name.removesuffix(".npy") for name in archive.namelist()]

    def shape(self, name: str) -> Shape:
        """The shape of an array, of which the head alone is read.

        Raises
        ------
        BundleError
            If it does not hold floating-point numbers.
        ValueError, KeyError
            If it is damaged or missing, for `open_arrays` to name the file.
        """
        with self._open(name) as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"{name} is of format {version}")
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            held = self._archive.getinfo(f"{name}.npy").file_size - file.tell()
        if dtype.name not in _FLOATS:
            raise BundleError(f"{self._where}: {name} must hold floating-point numbers, not {str(dtype)[:80]}")
        if math.prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{name} has {held} bytes, which are not those of {shape} numbers of {dtype}")
        return shape

    def check(self, name: str, shape: Shape) -> None:
        """Refuse an array that does not hold floating-point numbers, or has another shape; it is not read."""
        found = self.shape(name)
        if found != shape:
            raise BundleError(f"{self._where}: {name} must have shape {shape}, not {found}")

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
        with self._open(name) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        with np.errstate(over="ignore"):  # it becomes infinite, which is refused below
            numbers: npt.NDArray[np.float32] = array.astype(np.float32)
        least = -largest if least is None else least
        if not ((numbers >= least) & (numbers <= largest)).all():  # which no NaN is
            raise BundleError(f"{self._where}: {name} must hold finite numbers from {least:g} to {largest:g} only")
        return numbers

    @contextmanager
    def _open(self, name: str) -> Iterator[Any]:
        info = self._archive.getinfo(f"{name}.npy")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (_UNPACKED, _DEFLATED):
            raise ValueError(f"{name} is encrypted, or packed by an unknown method")
        with self._archive.open(info) as file:
            yield file


@contextmanager
def open_arrays(path: Path, *, largest: int) -> Iterator[Arrays]:
    """Open a file of arrays that NumPy wrote.

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
            yield Arrays(archive, str(path))
    except (
        *(OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, OverflowError, RecursionError),
        *(SyntaxError, tokenize.TokenError),  # of the head of an array, which is written in Python
        *(zipfile.BadZipFile, NotImplementedError, struct.error, zlib.error),
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(f"{path}: cannot be read ({reason[:200]})") from error


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The content of a file of arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
