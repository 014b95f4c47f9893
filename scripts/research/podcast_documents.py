"""Writes transcripts of podcasts as text for `asr train-text`: a paragraph a line, an empty line between episodes.

    python scripts/research/podcast_documents.py SNAPSHOT OUT.txt.xz

SNAPSHOT is a copy of the repository thechangelog/transcripts (CC BY-SA 4.0). Names of speakers, times, notes and the
signs of Markdown are left out; so are sentences with digits, code or addresses, which nobody says as they are written,
and paragraphs that do not end with a mark. Three dots before a small letter are a comma.
"""

from __future__ import annotations

import argparse
import lzma
import re
import unicodedata
from pathlib import Path

from snapshots import texts_of

from asr.files import write_atomically

_SPEAKER = re.compile(r"^\*\*[^*\n]{1,80}?:?\*\*:?\s*")
_NOTE = re.compile(r"\\?\[[^\]\[]{0,200}\\?\](?!\()")
_LINK = re.compile(r"\[([^\]\[]*)\]\([^)\s]*\)")
_SENTENCES = re.compile(r"(?<=[.!?])(?=[\"')]*\s)")
_LEFT_OUT = re.compile(
    r"[\d`|<>=+@#$%^{}~/\\\[\]]|www\.|\.(?:com|org|io|dev|net)\b|unintelligible|https?:", re.IGNORECASE
)
_ENDS = re.compile(r"[.?!][\"')]*$")
_LEAST_WORDS = 500
"""of an episode: shorter files are announcements"""


def clean_paragraph(paragraph: str) -> str:
    """The sentences of a paragraph that can be said as they are written; empty if it does not end with a mark."""
    text = unicodedata.normalize("NFKC", _SPEAKER.sub("", " ".join(paragraph.split())))
    text = text.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')
    text = _LINK.sub(r"\1", _NOTE.sub(" ", text))
    text = re.sub(r"(?<![\w])[_*]+|[_*]+(?![\w])", "", text).replace("\\", "")
    text = re.sub(r"\s*(?:\.\.\.+|\u2026)\s+(?=[a-z])", ", ", text)
    kept = " ".join("".join(one for one in _SENTENCES.split(text) if not _LEFT_OUT.search(one)).split())
    return kept if _ENDS.search(kept) else ""


def paragraphs(episode: str) -> list[str]:
    """The clean paragraphs of an episode."""
    return [clean for one in re.split(r"\n\s*\n", episode) if (clean := clean_paragraph(one))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("output", type=Path, help="file to write, packed by xz")
    arguments = parser.parse_args()
    texts = ("\n".join(paragraphs(one)) for one in texts_of(arguments.snapshot, suffix=".md"))
    kept = [one for one in texts if len(one.split()) >= _LEAST_WORDS]
    write_atomically(arguments.output, lzma.compress("\n\n".join(kept).encode("utf-8"), preset=1))
    print(f"{arguments.output}: {len(kept)} episodes, {sum(len(one.split()) for one in kept):,} words")


if __name__ == "__main__":
    main()
