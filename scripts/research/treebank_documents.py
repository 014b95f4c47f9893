"""Writes a treebank as text for `scripts/bench/punctuation.py`: a paragraph a line, an empty line between documents.

    python scripts/research/treebank_documents.py OUT.txt FILE.conllu...

The files are in the format CoNLL-U of Universal Dependencies, with the comments `newdoc`, `newpar` and `text`. Left out
are sentences with digits, brackets or addresses of the web, which nobody says as they are printed, and paragraphs that
do not end with a mark, such as headings.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.files import write_atomically

_LEFT_OUT = re.compile(r"[\d\[\]<>|@#$%^=+{}~\\/*]|www\.|\.(com|org|net)\b")
_ENDS = re.compile(r"[.?!][\"')\u201d\u2019]*$")


def paragraphs(lines: Iterable[str]) -> Iterator[list[str] | None]:
    """The sentences of each paragraph; None where a document begins."""
    sentences: list[str] = []
    for line in lines:
        if line.startswith(("# newdoc", "# newpar")):
            yield sentences
            sentences = []
            if line.startswith("# newdoc"):
                yield None
        elif line.startswith("# text = "):
            sentences.append(line.removeprefix("# text = ").strip())
    yield sentences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    text = []
    for path in arguments.files:
        for sentences in paragraphs(path.read_text("utf-8").splitlines()):
            kept = [one for one in sentences or () if not _LEFT_OUT.search(one)]
            if sentences is None:
                text.append("")
            elif kept and _ENDS.search(kept[-1]):
                text.append(" ".join(kept))
    content = re.sub(r"\n{3,}", "\n\n", "\n".join(text)).strip() + "\n"
    write_atomically(arguments.output, content.encode("utf-8"))
    print(f"{arguments.output}: {content.count(chr(10) * 2) + 1} documents, {len(content.split()):,} words")


if __name__ == "__main__":
    main()
