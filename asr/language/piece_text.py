"""A text as numbers of word pieces, the training data of an LSTM language model, and its file."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import zipfile
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError, LanguageModelError
from asr.files import write_atomically
from asr.language.word_pieces import END, WordPieces, train_word_pieces
from asr.text.pieces import PieceAlphabet

FORMAT = 1
BLOCK = 500
"""sentences that are held out together, so that most of a held-out sentence's neighbours are held out too"""
_FAILURES = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, lzma.LZMAError, ConfigError)


@dataclass(frozen=True)
class PieceText:
    """Sentences in pieces.

    Parameters
    ----------
    pieces : WordPieces
    numbers : uint16 array
        The pieces of all sentences, `END` behind each sentence.
    held_out : bool array [shape=(sentences,)]
    provenance : mapping
    """

    pieces: WordPieces
    numbers: npt.NDArray[np.uint16]
    held_out: npt.NDArray[np.bool_]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Identifies what a training makes of it: the numbers, what they stand for, and what is held out."""
        symbols = "\n".join(self.pieces.mirrored.symbols).encode("utf-8")
        parts = (symbols, self.numbers.astype("<u2").tobytes(), np.packbits(self.held_out).tobytes())
        return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in parts)).hexdigest()

    def part(self, *, held_out: bool) -> npt.NDArray[np.uint16]:
        """The numbers of the sentences that are held out, or of the others."""
        sentence = np.cumsum(self.numbers == END) - (self.numbers == END)
        chosen: npt.NDArray[np.uint16] = self.numbers[self.held_out[sentence] == held_out]
        return chosen

    def words(self, numbers: npt.NDArray[np.uint16]) -> int:
        """How many words these numbers hold."""
        ends = np.zeros(self.pieces.count, bool)
        ends[list(self.pieces.ends)] = True
        return int(np.count_nonzero(ends[numbers]))


def make_piece_text(
    sentences: Iterable[str],
    *,
    count: int,
    held_out: float,
    provenance: Mapping[str, Any] | None = None,
    watch: Callable[[str], object] = lambda _: None,
) -> PieceText:
    """Choose the pieces of a text and write the text in them.

    Parameters
    ----------
    sentences : iterable of str
        Normalised.
    count : int
        Of pieces, the end of the sentence included.
    held_out : float
        Share of the blocks of 500 sentences that are held out, by a hash of each block's first sentence; of a text of
        few blocks, the end.
    provenance : mapping, optional
    watch : callable
        Called with what begins.

    Raises
    ------
    ConfigError
        If there are fewer than two sentences, or fewer pieces than characters.
    """
    watch("reading")
    lines = [one for one in sentences if one]
    if len(lines) < 2:
        raise ConfigError("the texts must hold two sentences at least, one a line: one to train on, one to measure on")
    watch("choosing pieces")
    pieces = train_word_pieces(lines, count - 1)
    watch("writing in pieces")
    held = np.zeros(len(lines), bool)
    known: dict[str, tuple[int, ...]] = {}
    numbers = array("H")
    for place, line in enumerate(lines):
        if place % BLOCK == 0:
            share = int.from_bytes(hashlib.sha256(line.encode("utf-8")).digest()[:4], "big") / 2**32
            held[place : place + BLOCK] = share < held_out
        for word in line.split():
            encoded = known.get(word)
            if encoded is None:
                encoded = known[word] = pieces.encode(word)
            numbers.extend(encoded)
        numbers.append(END)
    if held.all() or not held.any():  # a text of few blocks: its end
        held[:] = False
        held[-max(1, int(len(lines) * held_out)) :] = True
    return PieceText(pieces, np.frombuffer(numbers, np.uint16), held, dict(provenance or {}))


def save_piece_text(path: Path, text: PieceText) -> None:
    """Write it as an NumPy file of plain arrays, the numbers packed by LZMA."""
    header = {
        "format": FORMAT,
        "pieces": list(text.pieces.mirrored.symbols),
        "scores": list(text.pieces.mirrored.scores),
        "provenance": dict(text.provenance),
    }
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 1, "pb": 1}]
    packed = lzma.compress(text.numbers.astype("<u2").tobytes(), filters=filters)
    content = io.BytesIO()
    np.savez(
        content,
        header=np.array(json.dumps(header, ensure_ascii=False)),
        numbers=np.frombuffer(packed, np.uint8),
        held_out=np.packbits(text.held_out),
    )
    write_atomically(path, content.getvalue())


def load_piece_text(path: Path) -> PieceText:
    """Read what `save_piece_text` wrote.

    Raises
    ------
    LanguageModelError
        If it is something else, or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            if header["format"] != FORMAT:
                raise ConfigError(f"it has format {header['format']}; this version reads {FORMAT}")
            pieces = WordPieces(PieceAlphabet(tuple(header["pieces"]), tuple(header["scores"])))
            numbers = np.frombuffer(lzma.decompress(arrays["numbers"].tobytes()), "<u2").astype(np.uint16)
            sentences = int(np.count_nonzero(numbers == END))
            held_out = np.unpackbits(arrays["held_out"], count=sentences).astype(bool)
            if not sentences or numbers[-1] != END or numbers.max() >= pieces.count:
                raise ConfigError("its numbers are not those of its pieces")
    except FileNotFoundError:
        raise LanguageModelError(path, "no such file") from None
    except _FAILURES as error:
        raise LanguageModelError(path, f"is no text in word pieces, or damaged ({error})") from error
    return PieceText(pieces, numbers, held_out, header["provenance"])


def is_piece_text(path: Path) -> bool:
    """Whether a file is one that `save_piece_text` wrote."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {"header", "numbers", "held_out"} == set(arrays.files)
    except _FAILURES:
        return False
