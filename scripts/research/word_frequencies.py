"""Writes a language model of single words by how often they are said and written today, from the data of wordfreq.

    pip install wordfreq
    python scripts/research/word_frequencies.py words.arpa --most 100000
    asr lm base=books.lm words.arpa text_weight=0.03 output=english.lm

Books of 1900 have no "video" and no "website". Words are of the letters a to z and apostrophes. The data of wordfreq
(R. Speer, "rspeer/wordfreq", 2022) are CC BY-SA 4.0, and are to be named where a model that is made of them ships.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path

from asr.files import write_atomically

_WORD = re.compile(r"[a-z]+('[a-z]+)?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="ARPA file to write")
    parser.add_argument("--most", type=int, default=100_000, help="words to keep, the most frequent ones (100000)")
    arguments = parser.parse_args()
    import wordfreq

    frequencies = wordfreq.get_frequency_dict("en", wordlist="large")
    kept = [word for word in frequencies if len(word) > 1 and _WORD.fullmatch(word)]
    kept = sorted(sorted(kept, key=lambda word: (-frequencies[word], word))[: arguments.most])
    write_atomically(arguments.output, unigram_arpa({word: frequencies[word] for word in kept}).encode())
    print(f"{arguments.output}: {len(kept):,} words")
    return 0


def unigram_arpa(frequencies: dict[str, float]) -> str:
    """A model over single words, whose probabilities are their shares."""
    total = sum(frequencies.values())
    lines = [f"{math.log10(frequency / total):.4f}\t{word}" for word, frequency in frequencies.items()]
    head = [f"ngram 1={len(lines) + 3}", "", "\\1-grams:", "-99\t<unk>", "-99\t<s>", "-99\t</s>"]
    return "\n".join(["\\data\\", *head, *lines, "", "\\end\\", ""])


if __name__ == "__main__":
    sys.exit(main())
