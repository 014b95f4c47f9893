"""Errors in training texts that are drawn from the confusions of a recogniser."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.punctuation.written_tags import FULL_STOP, NO_BREAK, NO_MARK, SENTENCE, UNKNOWN_CASE, Spellings, read_documents
from asr.settings.tagger import TaggerConfig, TextBatchConfig
from asr.training.recogniser_errors import Confusions, RecogniserErrors, read_confusions
from asr.training.tagger_data import DEFAULT_PAUSE_SHARES, TextFeed, make_corpus, make_features

from .test_tagger_training import german

TYPES = ["the", "cat", "sat", "here", "a", "um", "hat"]
CONFUSIONS = Confusions({"cat": {"hat": 30, "sat": 10}}, {"the": 20}, {"a": 10, "um": 30})


def drawn(words: list[str], *, rate: float, frequencies: list[int] | None = None) -> tuple[list[str], np.ndarray]:
    """One text with errors; every fourth word ends a sentence."""
    numbers = np.array([TYPES.index(word) for word in words], np.int32)
    tags = np.zeros((len(words), 3), np.uint8)
    tags[3::4] = FULL_STOP, 0, SENTENCE
    counts = np.array(frequencies or np.bincount(numbers, minlength=len(TYPES)))
    neighbours = np.full((len(TYPES), 2), TYPES.index("here"), np.int32)
    errors = RecogniserErrors(CONFUSIONS, TYPES, counts, neighbours)
    changed, after = errors.apply(numbers, tags, rate, np.random.default_rng(1))
    return [TYPES[one] for one in changed], after


def test_errors_have_the_shares_of_the_counts() -> None:
    """Of 100 errors 40 are substitutions, 20 deletions and 40 insertions."""
    words = ["the", "cat", "sat", "here"] * 50_000
    changed, tags = drawn(words, rate=0.1)
    counts, size = Counter(changed), len(words)
    assert counts["um"] / size == pytest.approx(0.1 * 0.4 * 0.75, rel=0.05)
    assert counts["a"] / size == pytest.approx(0.1 * 0.4 * 0.25, rel=0.05)
    # A quarter of the words is "cat": half of all substitutions, and a quarter of the other half.
    assert counts["hat"] / size == pytest.approx(0.1 * 0.4 * 0.625 * 0.75, rel=0.05)
    # Deleted are "the", and of the other half each as often as it occurs; others become their neighbour, "here".
    substituted = 0.1 * 0.4 * 0.125
    assert 0.25 - counts["the"] / size == pytest.approx(0.1 * 0.2 * 0.625 + substituted, rel=0.05)
    assert len(changed) / size == pytest.approx(1 + 0.1 * (0.4 - 0.2), rel=0.01)
    assert len(tags) == len(changed)


def test_ends_of_sentences_stay_and_an_inserted_word_has_no_tags() -> None:
    changed, tags = drawn(["cat", "sat", "cat", "sat"] * 500, rate=0.5)
    assert (tags[:, 2] == SENTENCE).sum() == 500
    inserted = [row.tolist() for word, row in zip(changed, tags, strict=True) if word in ("a", "um")]
    assert inserted
    assert all(row == [NO_MARK, UNKNOWN_CASE, NO_BREAK] for row in inserted)


def test_a_word_without_counts_becomes_its_neighbour() -> None:
    changed, _ = drawn(["sat"] * 1000, rate=0.3)
    assert set(changed) == {"sat", "here", "a", "um"}


def test_the_file_is_that_of_asr_evaluate(asr_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "said.txt").write_text("the cat sat here\nmy cat sat\nthe cat\n")
    (tmp_path / "recognised.txt").write_text("the hat sat here\ncat sat\num the cat\n")
    done = asr_command(
        *("evaluate", tmp_path / "said.txt", f"hypotheses={tmp_path}/recognised.txt", f"output_dir={tmp_path}/report")
    )
    assert done.code == 0, done.err
    found = read_confusions(tmp_path / "report" / "confusions.csv")
    assert found == Confusions({"cat": {"hat": 1}}, {"my": 1}, {"um": 1})
    assert found.words == {"hat", "um"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word,count\ncat,1\n", "is no confusions.csv"),
        ("system,unit,kind,reference,hypothesis,count\n", "holds no errors of words"),
        ("system,unit,kind,reference,hypothesis,count\na,words,deletions,the,,many\n", "is no confusions.csv"),
        (None, "cannot be read"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "c.csv").write_text(content)
    with pytest.raises(ConfigError, match=f"confusions={tmp_path}/c.csv: {message}"):
        read_confusions(tmp_path / "c.csv")


def test_batches_have_words_that_only_the_recogniser_writes() -> None:
    documents = list(read_documents(german(6).splitlines()))
    corpus = make_corpus(documents, Spellings.count(documents))
    features = make_features(corpus, TaggerConfig(vocabulary=20, buckets=50))
    settings = TextBatchConfig(words=400, window=40, short_window=10, noise=0.9)
    errors = Confusions({"der": {"zyx": 5}}, {}, {"zyx": 5})
    feed = TextFeed(corpus, features, settings, pause_shares=DEFAULT_PAUSE_SHARES, seed=1, errors=errors)
    rows, width = feed.batches(0)[0]
    batch = feed.batch(rows, width, seed=(1, 2, 3))
    assert batch.counts.max() <= width
    other = features.of_word("zyx")[1:]
    assert any(tuple(row[1:]) == other for window in batch.features for row in window)
