"""Finds the texts of recordings as they are printed in a book, with punctuation: for `scripts/bench/punctuation.py`.

    python scripts/research/printed_originals.py MANIFEST ORIGINALS.jsonl BOOK.txt...

A line of ORIGINALS has the `audio_filepath` of a recording and, as `text`, the stretch of a book that has four fifths
of its words in their order. Recordings that no book has are left out.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from asr.files import write_atomically

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_TITLES = {"Mr": "Mister", "Mrs": "Missus", "Dr": "Doctor", "St": "Saint"}
_WORDS_OF_A_KEY = 4
_LEAST_SHARE = 0.8


@dataclass(frozen=True)
class Book:
    """A book with the places of its words."""

    text: str
    words: list[str]
    starts: list[int]
    """where each word begins in the text"""
    places: dict[tuple[str, ...], list[int]]
    """of each sequence of four words"""

    @classmethod
    def read(cls, path: Path) -> Book:
        text = path.read_text("utf-8", errors="replace").replace("\r\n", "\n").replace("_", "")
        text = re.sub(r"\b(Mrs?|Dr|St)\.(?=\s)", lambda match: _TITLES[match[1]], text)
        matches = list(_WORD.finditer(text))
        words = [match[0].lower().replace("\u2019", "'") for match in matches]
        places: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place in range(len(words) - _WORDS_OF_A_KEY + 1):
            places[tuple(words[place : place + _WORDS_OF_A_KEY])].append(place)
        return cls(text, words, [match.start() for match in matches], places)

    def find(self, spoken: list[str]) -> tuple[float, str] | None:
        """The share of the words that the best stretch has, and the stretch; None if there is none."""
        votes: Counter[int] = Counter()
        for place in range(len(spoken) - _WORDS_OF_A_KEY + 1):
            for found in self.places.get(tuple(spoken[place : place + _WORDS_OF_A_KEY]), ()):
                votes[found - place] += 1
        if not votes:
            return None
        begin = max(0, votes.most_common(1)[0][0] - 4)
        stretch = self.words[begin : begin + len(spoken) + 12]
        blocks = difflib.SequenceMatcher(None, spoken, stretch, autojunk=False).get_matching_blocks()[:-1]
        first, last = blocks[0], blocks[-1]
        start = max(0, begin + first.b - first.a)
        end = begin + last.b + len(spoken) - last.a
        stop = self.starts[end] if end < len(self.starts) else len(self.text)
        share = sum(block.size for block in blocks) / len(spoken)
        return share, " ".join(self.text[self.starts[start] : stop].split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("originals", type=Path)
    parser.add_argument("books", nargs="+", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.manifest.read_text("utf-8").splitlines()]
    books = [Book.read(path) for path in arguments.books]
    lines = []
    for row in rows:
        found = [one for book in books if (one := book.find(row["text"].split())) and one[0] > _LEAST_SHARE]
        if found:
            lines.append(json.dumps({"audio_filepath": row["audio_filepath"], "text": max(found)[1]}) + "\n")
    write_atomically(arguments.originals, "".join(lines).encode("utf-8"))
    print(f"{len(lines)} of {len(rows)} recordings found")


if __name__ == "__main__":
    main()
