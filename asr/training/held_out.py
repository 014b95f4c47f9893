"""Which documents of texts are for training, validation and tests: other editions of a document go where it goes."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.files import open_decompressed
from asr.punctuation.written_tags import read_words, split_documents
from asr.training.tagger_data import Document

TRAIN, VALID, TEST = "train", "valid", "test"
LONG_PARAGRAPH = 12
"""words of a paragraph that two works hardly share by chance"""
SHARED_AT_MOST = 0.02
"""of the long paragraphs of the shorter of two documents: above, they are editions of one work"""
_BEGINNING = 5
"""paragraphs"""
_COMMONPLACE = 20
"""documents: a paragraph in more of them, such as a licence, says nothing about their works"""
_LEFT_OUT = ""
_NO_LETTERS = re.compile(r"[\W_]+")


def part_of(beginning: Document, held_out: float) -> str:
    """The part of a document by a hash of its first five paragraphs, whatever other editions it has."""
    written = " ".join(one.written for paragraph in beginning[:_BEGINNING] for one in paragraph)
    share = int.from_bytes(hashlib.sha256(written.encode("utf-8")).digest()[:4], "big") / 2**32
    return VALID if share < held_out else TEST if share < 2 * held_out else TRAIN


def document_parts(paths: Iterable[str | Path], held_out: float) -> list[str]:
    """The part of each document of texts.

    Documents that share more than a fiftieth of their long paragraphs, and those that are joined by others, go
    together: where a hash sends the first of them.

    Parameters
    ----------
    paths : iterable of str or Path
        One paragraph a line, an empty line between documents; plain or compressed.
    held_out : float
        Share for validation, and as much for tests.
    """
    parts: list[str] = []
    long_paragraphs: list[npt.NDArray[np.uint64]] = []
    for document in _split(paths):
        parts.append(part_of([read_words(one) for one in document[:_BEGINNING]], held_out))
        long_paragraphs.append(_hashes(document))
    return [parts[first] for first in _first_editions(long_paragraphs)]


def documents_of(paths: Iterable[str | Path]) -> Iterator[Document]:
    """The documents of texts."""
    for document in _split(paths):
        yield [read_words(paragraph) for paragraph in document]


def documents_by_part(paths: Sequence[str | Path], held_out: float) -> Iterator[tuple[str, Document]]:
    """The documents of texts, each with its part: training, validation or test."""
    yield from zip(document_parts(paths, held_out), documents_of(paths), strict=True)


def paragraphs_by_part(
    paths: Sequence[str | Path], held_out: float, *, may_divide: bool = True
) -> Callable[[], Iterator[tuple[str, Document]]]:
    """A function that reads the documents of texts, each with its part, as often as it is called.

    Where no document is for validation, as in one book, the last paragraphs of those for training are documents for
    validation: as many as have the share of the text that is held out. Long paragraphs for training that are among
    these, too, are left out. Of a text that is too small for this, nothing is for validation.

    Parameters
    ----------
    paths, held_out
        As for `document_parts`.
    may_divide : bool
        Whether a document may be divided.
    """
    parts = document_parts(paths, held_out)
    if VALID in parts or not may_divide:
        return lambda: zip(parts, documents_of(paths), strict=True)
    divided = _divided(paths, parts, held_out)

    def read() -> Iterator[tuple[str, Document]]:
        for of_paragraphs, document in zip(divided, documents_of(paths), strict=True):
            for part in (TRAIN, VALID, TEST):
                if chosen := [one for one, its in zip(document, of_paragraphs, strict=True) if its == part]:
                    yield part, chosen

    return read


def _divided(paths: Iterable[str | Path], parts: Sequence[str], held_out: float) -> list[list[str]]:
    """The part of each paragraph of each document; `_LEFT_OUT` for none."""
    found, digests, sizes = [], [], []
    for part, document in zip(parts, _split(paths), strict=True):
        found.append([part] * len(document))
        digests.append([_long_digest(one) for one in document])
        sizes.append([len(one) for one in document])
    places = [(one, place) for one, part in enumerate(parts) if part == TRAIN for place in range(len(found[one]))]
    total, held, beyond = sum(sizes[one][place] for one, place in places), 0, set()
    for one, place in reversed(places):
        # Most of the text is trained on, whatever the length of its paragraphs.
        if held >= held_out * total or 2 * (held + sizes[one][place]) > total:
            break
        held += sizes[one][place]
        found[one][place] = VALID
        beyond.add(digests[one][place])
    for one, place in places:
        if found[one][place] == TRAIN and digests[one][place] and digests[one][place] in beyond:
            found[one][place] = _LEFT_OUT
    if not any(TRAIN in one for one in found):
        return [[part] * len(one) for part, one in zip(parts, found, strict=True)]
    return found


def _split(paths: Iterable[str | Path]) -> Iterator[list[str]]:
    for path in paths:
        with (
            Path(path).open("rb") as file,
            io.TextIOWrapper(open_decompressed(file), encoding="utf-8", errors="replace") as lines,
        ):
            yield from split_documents(lines)


def _hashes(document: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Of the distinct long paragraphs, without marks and capitals."""
    return np.unique(np.frombuffer(b"".join(map(_long_digest, document)), np.uint64))


def _long_digest(paragraph: str) -> bytes:
    """Eight bytes that identify a long paragraph; none of a short one."""
    plain = _NO_LETTERS.sub(" ", paragraph.lower()).strip()
    is_long = plain.count(" ") >= LONG_PARAGRAPH - 1
    return hashlib.blake2b(plain.encode("utf-8"), digest_size=8).digest() if is_long else b""


def _first_editions(long_paragraphs: Sequence[npt.NDArray[np.uint64]]) -> list[int]:
    """For each document the place of the first that it goes with, which may be its own."""
    sizes = np.array([len(one) for one in long_paragraphs], np.int64)
    hashes = np.concatenate([np.zeros(0, np.uint64), *long_paragraphs])
    documents = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((documents, hashes))
    hashes, documents = hashes[order], documents[order]
    bounds = np.flatnonzero(np.diff(hashes) != 0) + 1
    counts = np.diff([0, *bounds, len(hashes)])
    shared: Counter[tuple[int, int]] = Counter()
    starts = np.cumsum([0, *counts])
    for place in np.flatnonzero((counts > 1) & (counts <= _COMMONPLACE)):
        shared.update(combinations(documents[starts[place] : starts[place + 1]].tolist(), 2))
    first = list(range(len(sizes)))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = place = first[first[place]]
        return place

    for (one, other), count in shared.items():
        if count > SHARED_AT_MOST * min(sizes[one], sizes[other]):
            low, high = sorted((root(one), root(other)))
            first[high] = low
    return [root(place) for place in range(len(first))]
