"""Training of the tagger: its data, exact resumption, and a second language."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.errors import ConfigError, OutputError
from asr.punctuation.tagger import Tagger
from asr.punctuation.text_writer import TextWriter
from asr.punctuation.word_numbers import SLOTS, UNKNOWN
from asr.punctuation.written_tags import (
    CAPITAL,
    FULL_STOP,
    NO_BREAK,
    QUESTION_MARK,
    Spellings,
    read_documents,
    read_words,
)
from asr.settings.commands import TrainTextConfig
from asr.settings.tagger import TaggerConfig, TaggerTrainingConfig, TextBatchConfig
from asr.training.tagger_data import (
    DEFAULT_PAUSE_SHARES,
    IGNORED,
    TextFeed,
    make_corpus,
    make_features,
    rare_words,
    validation_windows,
)

NOUNS = "Hund Katze Haus Baum Kind Frau Mann Stadt Garten Tisch Fenster Vogel".split()  # noqa: SIM905
VERBS = "sieht findet kennt sucht liebt malt".split()  # noqa: SIM905


def german(documents: int, seed: int = 1) -> str:
    """Sentences whose marks follow from their words: questions begin with a question word, "aber" follows a comma."""
    rng = random.Random(seed)

    def sentence() -> str:
        subject, thing, other = (rng.choice(NOUNS) for _ in range(3))
        verb, second = rng.choice(VERBS), rng.choice(VERBS)
        return rng.choice(
            [
                f"Der {subject} {verb} das {thing}.",
                f"Warum {verb} der {subject} das {thing}?",
                f"Der {subject} {verb} das {thing}, aber er {second} auch die {other}.",
            ]
        )

    return "\n\n".join("\n".join(" ".join(sentence() for _ in range(6)) for _ in range(8)) for _ in range(documents))


def settings(run_dir: Path, **changes: object) -> TrainTextConfig:
    return TrainTextConfig(
        run_dir=str(run_dir),
        language="de",
        network=TaggerConfig(vocabulary=60, buckets=200, embedding=16, units=16, depth=1),
        batches=TextBatchConfig(words=400, window=40, short_window=10, noise=0.05, held_out=0.1),
        training=TaggerTrainingConfig(**{"epochs": 2, "learning_rate": 0.02, "warmup_steps": 5} | changes),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def feed() -> TextFeed:
    documents = list(read_documents(german(12).splitlines()))
    corpus = make_corpus(documents, Spellings.count(documents))
    features = make_features(corpus, TaggerConfig(vocabulary=20, buckets=50))
    return TextFeed(
        corpus,
        features,
        TextBatchConfig(words=400, window=40, short_window=10, noise=0.3),
        pause_shares=DEFAULT_PAUSE_SHARES,
        seed=1,
    )


def test_an_epoch_has_nearly_every_word_once_and_is_the_same_again(feed: TextFeed) -> None:
    plan = feed.batches(0)
    windows = np.concatenate([rows for rows, _ in plan])
    assert all((rows[:, 1] - rows[:, 0] <= width).all() and (rows[:, 1] > rows[:, 0]).all() for rows, width in plan)
    words = len(feed._corpus.words)
    covered = np.zeros(words, int)
    for start, end in windows:
        covered[start:end] += 1
    assert covered.max() == 1
    assert covered.mean() > 0.8  # the rest are parts of sentences at the edges of windows
    again = feed.batches(0)
    assert all(np.array_equal(one[0], two[0]) for one, two in zip(plan, again, strict=True))


def test_batches_are_padded_invisibly_and_depend_on_the_seed_alone(feed: TextFeed) -> None:
    rows, width = feed.batches(0)[0]
    batch, again = (feed.batch(rows, width, seed=(1, 2, 3)) for _ in range(2))
    assert batch.features.shape == (*batch.pauses.shape, SLOTS)
    for name in ("features", "pauses", "counts", "targets"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))
    outside = np.arange(width)[None, :] >= batch.counts[:, None]
    assert (batch.features[outside] == UNKNOWN).all()
    assert (batch.pauses[outside] == 0).all()
    assert (batch.targets[outside] == IGNORED).all()
    assert (batch.targets[~outside][:, 0] != IGNORED).all()


def test_deleted_words_leave_their_marks_behind(feed: TextFeed) -> None:
    """As many ends of sentences as before, but for those behind neighbouring deleted words."""
    rng = np.random.default_rng(0)
    words = np.arange(1000, dtype=np.int32) % 20
    tags = np.zeros((1000, 3), np.uint8)
    tags[9::10] = FULL_STOP, 0, 1
    changed, after = feed._with_errors(words, tags, 0.4, rng)
    assert 850 < len(changed) < 950
    assert (changed != words[: len(changed)]).mean() > 0.2
    assert (after[:, 2] != NO_BREAK).sum() == 100


@pytest.mark.slow
def test_a_stopped_training_resumes_exactly_and_writes_the_same_model(tmp_path: Path) -> None:
    from asr.training.stop import StopRequest
    from asr.training.tagger_run import TAGGER, train_tagger

    (tmp_path / "text.txt").write_text(german(20))
    texts = [tmp_path / "text.txt"]
    assert train_tagger(texts, settings(tmp_path / "whole"), StopRequest()) is not None
    stop = StopRequest()

    def stop_at(step: int, share: float, loss: float) -> None:
        if step == 9:
            stop.signal = 15

    assert train_tagger(texts, settings(tmp_path / "parts"), stop, on_step=stop_at) is None
    assert train_tagger(texts, settings(tmp_path / "parts"), StopRequest()) is not None
    whole, parts = (Tagger.load(tmp_path / name / TAGGER) for name in ("whole", "parts"))
    words = "warum sieht der hund das haus".split()  # noqa: SIM905
    features = whole.header.features.of_words(words)
    pauses = np.zeros(len(words), np.int32)
    np.testing.assert_allclose(whole.logits(features, pauses), parts.logits(features, pauses), atol=1e-4)
    with pytest.raises(ConfigError, match=r"training\.epochs is 2 there and 3 here"):
        train_tagger(texts, settings(tmp_path / "parts", epochs=3), StopRequest())
    with pytest.raises(OutputError, match="holds no run"):
        train_tagger(texts, settings(tmp_path), StopRequest())


def test_a_run_of_other_texts_is_refused_and_keeps_its_model(tmp_path: Path) -> None:
    """Weights learnt on one text never get the vocabulary of another."""
    from asr.training.stop import StopRequest
    from asr.training.tagger_run import TAGGER, train_tagger

    text, other = tmp_path / "text.txt", tmp_path / "other.txt"
    text.write_text(german(4))
    other.write_text(german(4, seed=2).replace("Vogel", "Fisch"))
    stop, run_dir = StopRequest(), tmp_path / "run"
    stop.signal = 15  # before the first step
    train_tagger([text], settings(run_dir), stop)
    (run_dir / TAGGER).write_text("the model")
    kept = {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=r"text\.txt then, .*other\.txt now\) have changed since this run began"):
        train_tagger([other], settings(run_dir), StopRequest())
    assert {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()} == kept
    # A run of an earlier version, which has no record, goes on.
    (run_dir / "run.json").unlink()
    assert train_tagger([text], settings(run_dir), stop) is None
    assert not (run_dir / "run.json").exists()


@pytest.mark.parametrize(("paragraphs", "is_held_out"), [(1, False), (8, True)])
def test_scores_on_training_texts_are_never_called_held_out(
    tmp_path: Path, asr_command, monkeypatch, paragraphs: int, is_held_out: bool
) -> None:
    from asr.training.tagger_run import TAGGER, TaggerTraining

    monkeypatch.setattr(TaggerTraining, "finished", True)  # no step is needed for this
    (tmp_path / "text.txt").write_text("\n".join(german(1).splitlines()[:paragraphs]))
    shape = ["network.vocabulary=20", "network.buckets=20", "network.embedding=4", "network.units=4", "network.depth=1"]
    outcome = asr_command("train-text", tmp_path / "text.txt", f"run_dir={tmp_path / 'run'}", "language=de", *shape)
    assert outcome.code == 0, outcome.err
    wanted = "held-out texts" if is_held_out else "texts that it was trained on (too small to hold any out)"
    assert outcome.out.startswith(f"F1 on {wanted}: full stop ")
    assert ("validation_f1" in Tagger.load(tmp_path / "run" / TAGGER).header.provenance) == is_held_out


@pytest.mark.slow
def test_a_second_language_is_learned_from_a_small_text(tmp_path: Path) -> None:
    from asr.training.stop import StopRequest
    from asr.training.tagger_run import TAGGER, train_tagger

    (tmp_path / "text.txt").write_text(german(80))
    scores = train_tagger([tmp_path / "text.txt"], settings(tmp_path / "run", epochs=6), StopRequest())
    assert scores is not None
    assert min(scores.full_stop, scores.comma, scores.question_mark, scores.case) > 0.9
    tagger = Tagger.load(tmp_path / "run" / TAGGER)
    assert tagger.language == "de"
    words = "der mann malt das haus aber er liebt auch die katze warum sucht der hund das fenster".split()  # noqa: SIM905
    text = " ".join(one.text for one in TextWriter(tagger).tokens(words))
    assert text == "Der Mann malt das Haus, aber er liebt auch die Katze. Warum sucht der Hund das Fenster?"
    tags = tagger.tag(words)
    assert tags.marks[-1] == QUESTION_MARK
    assert tags.cases[1] == CAPITAL


def test_no_documents_to_train_on_is_a_plain_error(tmp_path: Path) -> None:
    from asr.training.tagger_run import read_corpora

    (tmp_path / "text.txt").write_text("\n\n")
    with pytest.raises(ConfigError, match="an empty line between documents"):
        read_corpora([tmp_path / "text.txt"], 0.1)


def test_fixed_spellings_are_words_with_capitals(tmp_path: Path) -> None:
    from asr.training.tagger_run import read_spellings

    (tmp_path / "names").write_text("NATO\n\n  iPhone \nO'Hare\n", "utf-8")
    assert read_spellings(str(tmp_path / "names")).fixed == {"nato": "NATO", "iphone": "iPhone", "o'hare": "O'Hare"}
    for content, wrong in (
        ("NATO\nword\n", "line 2.*'word'"),
        ("New York", "line 1.*'New York'"),
        ("GPT-4", "'GPT-4'"),
    ):
        (tmp_path / "names").write_text(content, "utf-8")
        with pytest.raises(ConfigError, match=wrong):
            read_spellings(str(tmp_path / "names"))
    with pytest.raises(ConfigError, match=r"spellings=.*missing: No such file"):
        read_spellings(str(tmp_path / "missing"))


def test_words_of_a_corpus_are_numbered_by_their_frequency() -> None:
    documents = list(read_documents(["B b b a. A c, a B b!", "", "C d."]))
    corpus = make_corpus(documents, Spellings.count(documents))
    assert corpus.types == ["b", "a", "c", "d"]
    assert [corpus.types[one] for one in corpus.words] == "b b b a a c a b b c d".split()  # noqa: SIM905
    assert corpus.starts.tolist() == [0, 9, 11]
    assert corpus.words.dtype == corpus.starts.dtype == np.int32
    assert corpus.marks.tolist() == [0, 0, 0, 2, 0, 1, 0, 0, 4, 0, 2]


@pytest.mark.slow
def test_a_training_begins_from_another_model_and_keeps_its_vocabulary(tmp_path: Path) -> None:
    from asr.training.stop import StopRequest
    from asr.training.tagger_run import TAGGER, read_start, train_tagger

    (tmp_path / "text.txt").write_text(german(20))
    texts = [tmp_path / "text.txt"]
    train_tagger(texts, settings(tmp_path / "first"), StopRequest())
    first = Tagger.load(tmp_path / "first" / TAGGER)

    (tmp_path / "more.txt").write_text(german(20, seed=2).replace("Vogel", "UNO"))
    (tmp_path / "spellings.txt").write_text("iPhone\n")
    again = replace(
        settings(tmp_path / "second", learning_rate=1e-9),
        init=str(tmp_path / "first" / TAGGER),
        spellings=str(tmp_path / "spellings.txt"),
    )
    train_tagger([tmp_path / "more.txt"], again, StopRequest())
    second = Tagger.load(tmp_path / "second" / TAGGER)
    assert second.header.vocabulary == first.header.vocabulary
    assert "uno" in second.header.spellings.upper
    assert second.header.spellings.fixed == {"iphone": "iPhone"}
    assert second.header.provenance["init"] == first.header.provenance
    features = first.header.features.of_words("warum sieht der hund das haus".split())  # noqa: SIM905
    pauses = np.zeros(len(features), np.int32)
    # But for the biases, which are tuned anew, and what rounding to 7 bits twice may change.
    difference = first.logits(features, pauses) - second.logits(features, pauses)
    np.testing.assert_allclose(difference - difference.mean(axis=0), 0.0, atol=0.05)

    with pytest.raises(ConfigError, match="is a model for the language de, and language=en"):
        read_start(replace(again, language="en"))
    with pytest.raises(ConfigError, match="has a network of its own"):
        read_start(replace(again, network=TaggerConfig(units=24)))


def test_places_of_a_rare_word_in_one_document_have_a_number() -> None:
    documents = [[read_words(one)] for one in ("The cat saw Tom and the cat.", "Tom saw the cat.", "So.")]
    corpus = make_corpus(documents, Spellings({}, frozenset(), frozenset()))
    windows = [(0, 4), (4, 7), (7, 11)]
    groups = rare_words(corpus, windows, ["the", "and", "saw"])
    words = [corpus.types[corpus.words[place]] for place in range(11)]
    known = {one: {place for place in range(11) if groups[place] == one} for one in set(groups.tolist())}
    assert {place for place in range(11) if words[place] in ("the", "and", "saw")} == known.pop(-1)
    assert sorted(map(sorted, known.values())) == [[1, 6], [3], [7], [10]]
    assert len(rare_words(corpus, [], [])) == 0


@pytest.mark.parametrize("words", [1, 10, 40, 77, 100, 1000])
def test_validation_is_on_equal_parts_of_the_documents(words: int) -> None:
    lengths = [30, 3, 50, 0, 17]
    corpus = make_corpus([], Spellings({}, frozenset(), frozenset()))
    corpus = replace(corpus, starts=np.cumsum([0, *lengths]).astype(np.int32))
    windows = list(validation_windows(corpus, 8, words))
    taken = [0] * len(lengths)
    for start, end in windows:
        assert 0 < end - start <= 8
        number = int(np.searchsorted(corpus.starts, start, side="right")) - 1
        assert start == corpus.starts[number] + taken[number]
        taken[number] += end - start
    assert min(words, 100) - len(lengths) < sum(taken) <= max(words, len(lengths))
    assert all(one == min(length, max(taken)) for one, length in zip(taken, lengths, strict=True))
