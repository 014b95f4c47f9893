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
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

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


def episodes(snapshot: Path) -> Iterator[list[str]]:
    """The paragraphs of each episode."""
    git = ["git", f"--git-dir={snapshot / '.git' if (snapshot / '.git').is_dir() else snapshot}"]
    listed = subprocess.run([*git, "ls-tree", "-r", "HEAD"], capture_output=True, text=True, check=True).stdout
    blobs = [line.split()[2] for line in listed.splitlines() if "/" in line and line.endswith(".md")]
    with subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin
        assert cat.stdout
        for blob in blobs:
            cat.stdin.write(blob.encode() + b"\n")
            cat.stdin.flush()
            head = cat.stdout.readline().split()
            if head[-1] != b"missing":
                text = cat.stdout.read(int(head[2]) + 1)[:-1].decode("utf-8", "replace")
                yield [clean for one in re.split(r"\n\s*\n", text) if (clean := clean_paragraph(one))]
        cat.stdin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("output", type=Path, help="file to write, packed by xz")
    arguments = parser.parse_args()
    kept = [
        "\n".join(one) for one in episodes(arguments.snapshot) if sum(map(len, map(str.split, one))) >= _LEAST_WORDS
    ]
    write_atomically(arguments.output, lzma.compress("\n\n".join(kept).encode("utf-8"), preset=1))
    print(f"{arguments.output}: {len(kept)} episodes, {sum(len(one.split()) for one in kept):,} words")


if __name__ == "__main__":
    main()
