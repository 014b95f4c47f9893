"""Writes books as text for `asr train-text`: one paragraph a line, an empty line between books.

    python scripts/research/cased_books.py SNAPSHOT BOOKS.txt.xz OUT.txt.xz [--rest WORDS] [--without TEXTS.jsonl...]

SNAPSHOT is a copy of the repository LuEE-C/FewShotAuthorClassificationMetaLearning (public-domain books of Project
Gutenberg). BOOKS.txt.xz holds known sentences in plain words, one a line, from the middle of each book that may be
used; of each such book the stretch between its first and its last known sentence is written, and with `--rest` up to so
many words of the rest behind it: `asr train-text` holds out the same books either way. Books without known sentences,
such as those that LibriSpeech's development and test sets read, are written with `--others`, whole.

Verse is left out: its lines begin with capitals that belong to the layout, not to the words.
A book that has a passage of a manifest of `--without` is left out: collected works may have another book within.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

from snapshots import texts_of
from tqdm import tqdm

from asr.files import write_atomically

_LINE_OF_VERSE = 60
"""characters at most; prose is wrapped at about 70"""
_SENTENCE_END = re.compile("(?<=[.!?])[\"')\\]\u201d\u2019]*\\s+")
_LONG = 8
"""words of a sentence that is hardly in two books by chance"""
_KNOWN_SHARE = 0.4
_PASSAGE = 8
"""words"""
_TITLES = {"Mr": "Mister", "Mrs": "Missus", "Dr": "Doctor", "St": "Saint", "Messrs": "Messieurs"}
"""as transcripts of speech spell them"""
_TITLE = re.compile(r"\b(Mrs?|Dr|St|Messrs)\b\.?(?=\s+[A-Z])")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("books", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--others", action="store_true", help="write the books without known sentences")
    parser.add_argument("--rest", type=int, default=0, metavar="WORDS", help="words of the rest of each book, at most")
    parser.add_argument("--without", type=Path, nargs="*", default=[], metavar="TEXTS.jsonl")
    arguments = parser.parse_args()
    with lzma.open(arguments.books, "rt") as lines:
        known = {hash(line.rstrip("\n")) for line in lines}
    forbidden = {passage for path in arguments.without for passage in _passages_of(path)}
    books: list[str] = []
    left_out = 0
    for text in tqdm(texts_of(arguments.snapshot, folder="Gutenberg/txt"), unit="book", disable=None):
        as_printed = re.split(r"\n\s*\n", text)
        paragraphs = [" ".join(one.split()) for one in as_printed]
        stretch = known_stretch(paragraphs, known, within=None if arguments.others else _middle(paragraphs))
        if (stretch is None) != arguments.others:
            continue
        paragraphs = ["" if is_verse(one) else joined for one, joined in zip(as_printed, paragraphs, strict=True)]
        chosen = [clean for one in paragraphs[stretch or slice(None)] if (clean := clean_paragraph(one))]
        if stretch is not None:
            chosen += _rest(paragraphs, stretch, arguments.rest)
        if forbidden and not forbidden.isdisjoint(passages(plain_words(" ".join(chosen)).split())):
            left_out += 1
        elif chosen:
            books.append("\n".join(chosen) + "\n")
    content = lzma.compress("\n".join(books).encode("utf-8"), preset=1)
    write_atomically(arguments.output, content)
    print(f"{len(books)} books, {sum(len(one.split()) for one in books):,} words; {left_out} left out")


def passages(words: list[str]) -> set[tuple[str, ...]]:
    """All sequences of so many words that two texts hardly share by chance."""
    return {tuple(words[start : start + _PASSAGE]) for start in range(len(words) - _PASSAGE + 1)}


def _passages_of(manifest: Path) -> set[tuple[str, ...]]:
    texts = [json.loads(line)["text"] for line in manifest.read_text("utf-8").splitlines()]
    return {passage for text in texts for passage in passages(plain_words(text).split())}


def _rest(paragraphs: list[str], stretch: slice, words: int) -> list[str]:
    """What is behind the stretch, then what is before it, without the ends of the book, which are no prose."""
    margin = len(paragraphs) // 20
    kept: list[str] = []
    for one in [*paragraphs[stretch.stop : -margin or None], *paragraphs[margin : stretch.start]]:
        if words <= 0:
            break
        if clean := clean_paragraph(one):
            kept.append(clean)
            words -= clean.count(" ") + 1
    return kept


def _middle(paragraphs: list[str], characters: int = 120_000) -> slice:
    """The middle of a book, twice as much as the known sentences are from."""
    surplus = (sum(map(len, paragraphs)) - characters) // 2
    first, last = 0, len(paragraphs)
    for step in (1, -1):
        left = surplus
        while left > 0:
            left -= len(paragraphs[first if step == 1 else last - 1])
            first, last = (first + 1, last) if step == 1 else (first, last - 1)
    return slice(first, last)


def plain_words(text: str) -> str:
    """A sentence as the file of known sentences spells it."""
    text = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[^a-z' ]", " ", text.replace("-", " "))
    return " ".join(re.sub(r"(^|\s)'+|'+(\s|$)", " ", text).split())


def known_stretch(paragraphs: list[str], known: set[int], within: slice | None = None) -> slice | None:
    """The paragraphs from the first with a known sentence to the last; None where too few of them are known."""
    places, found = [], []
    for place in range(len(paragraphs))[within or slice(None)]:
        paragraph = paragraphs[place]
        for sentence in _SENTENCE_END.split(paragraph.replace("_", "")):
            if sentence.count(" ") + 1 >= _LONG and not any(map(str.isdigit, sentence)):
                places.append(place)
                found.append(hash(plain_words(sentence)) in known)
    hits = [place for place, one in zip(places, found, strict=True) if one]
    if len(hits) < 20:
        return None
    # A tenth at each end may be there by chance, such as a verse that many books quote.
    low, high = hits[len(hits) // 50], hits[-1 - len(hits) // 50]
    inside = [one for place, one in zip(places, found, strict=True) if low <= place <= high]
    return slice(low, high + 1) if sum(inside) > _KNOWN_SHARE * len(inside) else None


def is_verse(paragraph: str) -> bool:
    """Whether lines begin with a capital that no end of a sentence explains.

    A single such line counts if all lines are shorter than those of prose: it may begin with a name.
    """
    lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
    inside = [after for line, after in pairwise(lines) if not re.search(r"[.!?][\"')\]\u201d\u2019_]*$", line)]
    capitals = [letter[0].isupper() for line in inside if (letter := re.search(r"[^\W\d_]", line))]
    if len(capitals) == 1:
        return capitals[0] and max(map(len, lines)) < _LINE_OF_VERSE
    return sum(capitals) > 0.5 * len(capitals)


def clean_paragraph(paragraph: str) -> str:
    """A paragraph of prose without notes and sentences with digits; empty for headings, tables and the like."""
    text = unicodedata.normalize(
        "NFKD", paragraph.replace("\u2019", "'").replace("\u2018", "'").replace("\u2014", "--")
    )
    text = text.replace("\u201c", '"').replace("\u201d", '"').encode("ascii", "ignore").decode()
    text = re.sub(r"\[[^\]]*\]", " ", text.replace("_", "").replace("*", " "))
    text = _TITLE.sub(lambda match: _TITLES[match[1]], text)
    sentences = re.split(r"(?<=[.!?])(?=[\"')]*\s)", text)
    kept = "".join(one for one in sentences if not re.search(r"[\d|<>=+@#$%^{}~/\\]", one))
    text = re.sub(r"(?<=\w[.!?])(?=\"?[A-Z])", " ", kept)
    letters = sum(map(str.isalpha, text))
    if letters < 2 or sum(map(str.isupper, text)) > 0.4 * letters or not re.search(r"[.!?:;,\-][\"')]*$", text):
        return ""
    return " ".join(text.split())


if __name__ == "__main__":
    main()
