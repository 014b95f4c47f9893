"""Writes dialogue as text for `asr train-text`: as it is spoken, a turn a line, an empty line between documents.

    python scripts/research/spoken_documents.py spoken.txt.xz spoken-documents.txt.xz

Numbers, times and prices are in words, as `scripts/research/spoken_sentences.py` spells them. Turns are left out that
were typed without care (a sentence without its mark or capital, "i", names of days in lower case), and those with
what cannot be spelled. A document is 2,000 turns.
"""

from __future__ import annotations

import argparse
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

from spoken_sentences import spoken_sentences

from asr.files import open_decompressed, write_atomically

_TURNS = 2000
_SENTENCE = re.compile(r"[A-Z].*[.?!]")
_CARELESS = re.compile(
    r"\b(i|i'm|i'd|i'll|i've|monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|april|june|july"
    r"|august|september|october|november|december|san|los|las|new york|london|california|chicago)\b"
)


def spoken_turns(lines: Iterator[str]) -> Iterator[str]:
    """Turns as they are spoken, with capitals and marks."""
    for line in lines:
        written = line.strip().replace("\u2019", "'")
        sentences = list(spoken_sentences(written))
        # A number that cannot be spelled takes its sentence with it, and what separates sentences otherwise is lost.
        whole = not re.search(r"[;:\u2013\u2014]|\s-+\s", re.sub(r"\d:\d", "", written))
        if whole and sentences and all(map(_SENTENCE.fullmatch, sentences)) and not _CARELESS.search(written):
            yield " ".join(sentences)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="written dialogue, a turn a line, packed or not")
    parser.add_argument("output", type=Path, help="file to write, packed by xz")
    arguments = parser.parse_args()
    with open(arguments.text, "rb") as raw:
        turns = list(spoken_turns(line.decode("utf-8") for line in open_decompressed(raw)))
    documents = ["\n".join(turns[start : start + _TURNS]) for start in range(0, len(turns), _TURNS)]
    write_atomically(arguments.output, lzma.compress("\n\n".join(documents).encode("utf-8")))
    print(f"{arguments.output}: {len(turns):,} turns, {sum(len(one.split()) for one in turns):,} words")


if __name__ == "__main__":
    main()
