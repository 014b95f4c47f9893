"""`asr lexicon`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import ConfigError, LanguageModelError, ManifestError
from asr.files import OutputJournal, open_decompressed, refuse_to_replace_inputs, typed_path
from asr.language.ngram import SPECIAL_WORDS
from asr.language.ngram_file import load_ngram
from asr.pronunciation.dictionary import cmudict, dictionary_content, read_dictionary
from asr.pronunciation.g2p import G2p
from asr.pronunciation.lookup import Found, Source, look_up
from asr.settings.commands import LexiconConfig
from asr.text.normalize import normalize_text

USAGE = "asr lexicon FILE... output=LEXICON [key=value...]"
TEXT = """
Makes a pronunciation lexicon of US English: the phones of every word of manifests (.jsonl), language models (.lm),
texts or word lists, for decoder.pronunciations and data.lexicon. A word gets its pronunciations of CMUdict; else those
that follow by rule from those of its stem; else the one or two that a model predicts from its letters (g2p=FILE). The
number of words from each source is printed. Texts may be compressed (.gz, .bz2, .xz).
"""
EXAMPLES = """\
  asr lexicon train.jsonl english.lm output=lexicon.txt
  asr lexicon books.txt.xz most=100000 g2p=g2p.npz output=lexicon.txt
  asr lexicon names.txt dictionary=my-dictionary.txt output=names-lexicon.txt
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: LexiconConfig | None = settings_or_answer("lexicon", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if settings.output is None:
        raise ConfigError("no output is named: output=LEXICON")
    output, journal = typed_path(settings.output), OutputJournal(overwrite=settings.overwrite)
    others = [typed_path(name) for name in (settings.dictionary, settings.g2p) if name]
    refuse_to_replace_inputs([output], [*split.files, *others])
    journal.check([output])
    dictionary = read_dictionary(typed_path(settings.dictionary)) if settings.dictionary else cmudict()
    g2p = G2p.load(typed_path(settings.g2p)) if settings.g2p else None
    counts = _count_words(split.files, settings)
    found = look_up(counts, dictionary, g2p, n_best=settings.n_best, min_share=settings.min_share)
    journal.write(output, dictionary_content({word: one.pronunciations for word, one in found.items()}))
    print(_report(counts, found))
    print(f"{output}: {sum(len(one.pronunciations) for one in found.values()):,} pronunciations")
    return 0


def _count_words(files: Sequence[str], settings: LexiconConfig) -> Counter[str]:
    """How often each word occurs in the files; 0 for words that only the vocabulary of a language model has."""
    from tqdm import tqdm

    named: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for name in files:
        if name.endswith(".lm"):
            named.update(dict.fromkeys(_vocabulary(name), 0))
        elif Path(name).suffix in MANIFEST_SUFFIXES:
            reading = read_manifest(name)
            if reading.problems:
                raise ManifestError(reading.problems)
            for utterance in reading.utterances:
                named.update(normalize_text(utterance.text or "", settings.normalizer).split())
        else:
            for line in tqdm(_lines(name), name, unit="line", leave=False, disable=None):
                texts.update(normalize_text(line, settings.normalizer).split())
    named.update(dict(texts.most_common(settings.most)))
    return named


def _vocabulary(name: str) -> list[str]:
    try:
        return [word for word in load_ngram(name).words if word not in SPECIAL_WORDS]
    except OSError as error:
        raise LanguageModelError(name, error.strerror or str(error)) from error


def _lines(name: str) -> Iterator[str]:
    try:
        with open(name, "rb") as file:
            for number, line in enumerate(open_decompressed(file), start=1):
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise LanguageModelError(f"{name}:{number}", f"not UTF-8 ({error.reason})") from None
    except OSError as error:
        raise LanguageModelError(name, error.strerror or str(error)) from error


def _report(counts: Counter[str], found: dict[str, Found]) -> str:
    """One line per source: words, running words, and examples."""
    kinds: dict[str, list[str]] = {name: [] for name in [*(source.value for source in Source), "left out"]}
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        kinds[found[word].source.value if word in found else "left out"].append(word)
    total = max(1, counts.total())
    return "\n".join(
        f"{kind:28}{len(words):9,} words{sum(counts[word] for word in words):12,} running words "
        f"({sum(counts[word] for word in words) / total:.2%})  {' '.join(words[:6])}"
        for kind, words in kinds.items()
    )
