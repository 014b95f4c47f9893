"""Makes a pronunciation lexicon: the phones of every word of manifests, texts, word lists or language models.

    python scripts/research/make_lexicon.py train.jsonl english.lm --g2p g2p.npz --output lexicon.txt
    python scripts/research/make_lexicon.py books.txt.xz --most 100000 --g2p g2p.npz --output lexicon.txt

A word has all its pronunciations of CMUdict; else those that follow by rule from its stem's; else the one or two that a
model predicts from its letters (scripts/research/train_g2p.py makes that). How many words and running words came from
where is printed. Files may be packed (.gz, .bz2, .xz); texts are normalised as training texts are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import AsrError, LanguageModelError, ManifestError
from asr.files import open_decompressed
from asr.language.ngram import SPECIAL_WORDS
from asr.language.ngram_file import load_ngram
from asr.pronunciation.dictionary import cmudict, read_dictionary, write_dictionary
from asr.pronunciation.g2p import G2p
from asr.pronunciation.lookup import Found, Source, look_up
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="manifests (.jsonl), language models (.lm), texts or word lists")
    parser.add_argument("--output", type=Path, required=True, help="where the lexicon is written")
    parser.add_argument("--g2p", type=Path, help="model for words without a known stem; without it they are left out")
    parser.add_argument(
        "--dictionary", type=Path, help="a dictionary in CMUdict's or Kaldi's format (default: CMUdict)"
    )
    parser.add_argument(
        "--most", type=int, help="of texts and word lists, take so many of the most frequent words only"
    )
    parser.add_argument("--n-best", type=int, default=2, help="most pronunciations from letters (default 2)")
    parser.add_argument("--min-share", type=float, default=0.3, help="least probability beside the first's (0.3)")
    arguments = parser.parse_args()
    try:
        counts = count_words(arguments.inputs, arguments.most)
        dictionary = read_dictionary(arguments.dictionary) if arguments.dictionary else cmudict()
        g2p = G2p.load(arguments.g2p) if arguments.g2p else None
        found = look_up(counts, dictionary, g2p, n_best=arguments.n_best, min_share=arguments.min_share)
    except AsrError as error:
        sys.exit(str(error))
    write_dictionary(arguments.output, {word: one.pronunciations for word, one in found.items()})
    print(report(counts, found))
    print(f"{arguments.output}: {sum(len(one.pronunciations) for one in found.values()):,} pronunciations")


def count_words(names: list[str], most: int | None) -> Counter[str]:
    """How often each word occurs in some files; 0 for words that only a language model's vocabulary has."""
    named: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    settings = NormalizerConfig()
    for name in names:
        if name.endswith(".lm"):
            named.update({word: 0 for word in load_ngram(name).words if word not in SPECIAL_WORDS})
        elif Path(name).suffix in MANIFEST_SUFFIXES:
            reading = read_manifest(name)
            if reading.problems:
                raise ManifestError(reading.problems)
            for utterance in reading.utterances:
                named.update(normalize_text(utterance.text or "", settings).split())
        else:
            for line in tqdm(read_lines(name), name, unit="line", leave=False, disable=None):
                texts.update(normalize_text(line, settings).split())
    named.update(dict(texts.most_common(most)))
    return named


def read_lines(name: str) -> Iterator[str]:
    """The lines of a text, packed or not."""
    try:
        with open(name, "rb") as file:
            for number, line in enumerate(open_decompressed(file), start=1):
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise LanguageModelError(f"{name}:{number}", f"not UTF-8 ({error.reason})") from None
    except OSError as error:
        raise LanguageModelError(name, error.strerror or str(error)) from error


def report(counts: Counter[str], found: dict[str, Found]) -> str:
    """A line for each source: words, running words, and a few of them."""
    kinds: dict[str, list[str]] = {name: [] for name in [*(source.value for source in Source), "left out"]}
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        kinds[found[word].source.value if word in found else "left out"].append(word)
    total = max(1, counts.total())
    return "\n".join(
        f"{kind:28}{len(words):9,} words{sum(counts[word] for word in words):12,} running words "
        f"({sum(counts[word] for word in words) / total:.2%})  {' '.join(words[:6])}"
        for kind, words in kinds.items()
    )


if __name__ == "__main__":
    main()
