"""Training of the LSTM language model: its windows, the graph that Keras agrees with, exact resumption, the command."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.errors import ConfigError, OutputError
from asr.language.neural import NeuralHeader, NeuralLanguageModel
from asr.language.neural_export import export_language_model
from asr.language.neural_scoring import score_sentences
from asr.language.piece_text import PieceText
from asr.language.word_pieces import END, WordPieces
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageModelKind, LstmConfig, LstmTrainingConfig
from asr.text.pieces import WORD_START, PieceAlphabet
from asr.training.language_data import PieceFeed, first_sentences, sentence_batches
from asr.training.language_network import IGNORED

PIECES = (WORD_START, f"{WORD_START}eht", f"{WORD_START}tac", f"{WORD_START}s", *"abcdehimnoorstuw"[:11], "s", "t", "w")


def sentences(count: int, seed: int = 1) -> list[str]:
    """Sentences of which the last word follows from the first."""
    rng = random.Random(seed)
    kinds = [("dad", "sat"), ("mom", "ate"), ("the cat", "did it")]
    ways = ["and the dads", "but mom", "so", "to the moon"]

    def one() -> str:
        first, last = rng.choice(kinds)
        return f"{first} {' '.join(rng.choice(ways) for _ in range(rng.randint(1, 3)))} {last}"

    return [one() for _ in range(count)]


@pytest.fixture(scope="module")
def text() -> PieceText:
    symbols = tuple(dict.fromkeys([*PIECES, *"".join(sentences(50)).replace(" ", "")]))
    pieces = WordPieces(PieceAlphabet(symbols, tuple(-1.0 - 0.01 * place for place in range(len(symbols)))))
    lines = sentences(400)
    numbers = [
        number for line in lines for word in [*line.split(), ""] for number in (pieces.encode(word) if word else (END,))
    ]
    held_out = np.arange(len(lines)) >= 360
    return PieceText(pieces, np.array(numbers, np.uint16), held_out, {"texts": ["made up"]})


def settings(run_dir: Path, text: PieceText, **changes: object) -> LmConfig:
    training = {
        "epochs": 4,
        "learning_rate": 0.02,
        "warmup_steps": 5,
        "rows": 8,
        "window": 24,
        "dropout": 0.1,
    } | changes
    return LmConfig(
        kind=LanguageModelKind.lstm,
        network=LstmConfig(pieces=text.pieces.count, embedding=12, units=16, depth=2),
        training=LstmTrainingConfig(**training),  # type: ignore[arg-type]
        run_dir=str(run_dir),
    )


def test_windows_begin_with_words_and_cover_the_text_alike(text: PieceText) -> None:
    numbers = text.part(held_out=False)
    training = LstmTrainingConfig(rows=8, window=24, joined=0.5, middle=0.3)
    feed = PieceFeed(numbers, text.pieces, training)
    epoch, starts = feed.epoch(0)
    assert starts.shape == (feed.batches, 8)
    ends = [*text.pieces.ends, END]
    before = epoch[starts[(starts > 0) & (starts < len(epoch) - 24)] - 1]
    assert np.isin(before, ends).all()
    # About half of the ends of sentences are left, and nothing else is lost.
    assert np.count_nonzero(epoch == END) / np.count_nonzero(numbers == END) == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(epoch[epoch != END], numbers[numbers != END])
    batch = feed.batch(epoch, starts[0])
    np.testing.assert_array_equal(batch.inputs[:, 0], END)
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    np.testing.assert_array_equal(batch.targets[3], epoch[starts[0, 3] : starts[0, 3] + 24])
    covered = np.zeros(len(epoch))
    for one in range(12):
        again, places = feed.epoch(one)
        for start in places.ravel():
            share = start / len(again)
            covered[int(share * len(epoch)) : int(share * len(epoch)) + 24] += 1
    assert covered.reshape(-1)[: len(epoch) // 10 * 10].reshape(10, -1).mean(axis=1).std() / covered.mean() < 0.2
    same, places = feed.epoch(0)
    np.testing.assert_array_equal(same, epoch)
    np.testing.assert_array_equal(places, starts)


def test_every_sentence_is_in_one_batch_alone(text: PieceText) -> None:
    numbers = text.part(held_out=True)
    found = []
    for batch in sentence_batches(numbers, most=200):
        assert batch.targets.size <= 200 or len(batch.targets) == 1
        inside = np.arange(batch.targets.shape[1]) < batch.counts[:, None]
        assert (batch.targets[~inside] == IGNORED).all()
        assert (batch.inputs[:, 0] == END).all()
        found += [tuple(row[:count]) for row, count in zip(batch.targets, batch.counts, strict=True)]
    stops = np.flatnonzero(numbers == END) + 1
    wanted = [tuple(part) for part in np.split(numbers, stops)[:-1]]
    assert sorted(found) == sorted(wanted)
    assert text.words(first_sentences(numbers, text.pieces, words=20)) >= 20
    assert len(first_sentences(numbers, text.pieces, words=10**9)) == len(numbers)


@pytest.mark.slow
@pytest.mark.parametrize("embedding", [12, 16], ids=["projected", "tied"])
def test_the_graph_gives_what_keras_gives(text: PieceText, embedding: int) -> None:
    from asr.training.language_network import build_language_model, language_model_weights

    network = build_language_model(
        LstmConfig(pieces=text.pieces.count, embedding=embedding, units=16, depth=2), count=text.pieces.count
    )
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    lines = [line.split() for line in sentences(5, seed=9)]
    rows = [[number for word in line for number in text.pieces.encode(word)] for line in lines]
    width = max(map(len, rows)) + 1
    inputs = np.array([[END, *row, *[END] * (width - 1 - len(row))] for row in rows], np.int32)
    logits = np.asarray(network.predict_on_batch([inputs, np.array([len(row) + 1 for row in rows], np.int32)]))
    log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    header = NeuralHeader(LstmConfig(pieces=text.pieces.count, embedding=embedding, units=16, depth=2), text.pieces)
    content = export_language_model(language_model_weights(network), header, quantized=False)
    scores = score_sentences(NeuralLanguageModel(content, "test"), lines)
    for row, found, own in zip(rows, scores, log_probs, strict=True):
        wanted = sum(own[step, number] for step, number in enumerate([*row, END]))
        assert found.sum() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.slow
def test_a_stopped_training_resumes_exactly_and_writes_the_same_model(text: PieceText, tmp_path: Path) -> None:
    from asr.training.language_run import GRAPH, WEIGHTS, train_language_model
    from asr.training.stop import StopRequest

    def train(name: str, stop: StopRequest, **more: object):
        return train_language_model(
            text,
            settings(tmp_path / name, text),
            stop,
            **more,  # type: ignore[arg-type]
        )

    whole = train("whole", StopRequest())
    assert whole is not None
    assert whole.words == text.words(text.part(held_out=True))
    assert whole.sentences == 40
    stop = StopRequest()

    def stop_at(step: int, share: float, loss: float) -> None:
        if step == 20:
            stop.signal = 15

    assert train("parts", stop, on_step=stop_at) is None
    assert not (tmp_path / "parts" / GRAPH).exists()
    parts = train("parts", StopRequest())
    assert parts is not None
    assert parts.nats == pytest.approx(whole.nats, rel=1e-5)
    with np.load(tmp_path / "whole" / WEIGHTS) as one, np.load(tmp_path / "parts" / WEIGHTS) as other:
        for name in one.files:
            np.testing.assert_allclose(one[name], other[name], atol=1e-4)
    # The order of the pieces is learned: by their frequencies alone, the held-out sentences are less probable.
    counts = np.bincount(text.part(held_out=False), minlength=text.pieces.count)
    frequencies = np.log(np.maximum(counts, 1) / counts.sum())
    assert whole.nats < -0.6 * frequencies[text.part(held_out=True)].sum()
    # The exported model predicts the held-out sentences as Keras does, but for the rounding of its weights.
    model = NeuralLanguageModel.load(tmp_path / "parts" / GRAPH)
    scores = score_sentences(model, [line.split() for line in sentences(400)[360:]])
    assert -sum(float(one.sum()) for one in scores) == pytest.approx(parts.nats, rel=0.01)
    with pytest.raises(ConfigError, match=r"training\.epochs is 4 there and 3 here"):
        train_language_model(text, settings(tmp_path / "parts", text, epochs=3), StopRequest())
    with pytest.raises(OutputError, match="holds no run"):
        train_language_model(text, settings(tmp_path, text), StopRequest())


def test_a_run_of_another_text_is_refused_before_anything_is_written(text: PieceText, tmp_path: Path) -> None:
    from asr.training.language_run import train_language_model
    from asr.training.stop import StopRequest

    stop = StopRequest()
    stop.signal = 15
    assert train_language_model(text, settings(tmp_path / "run", text), stop) is None
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    symbols = text.pieces.mirrored.symbols
    spelled = PieceAlphabet((*symbols[:-2], symbols[-1], symbols[-2]), text.pieces.mirrored.scores)
    for other in (
        replace(text, numbers=text.numbers[::-1].copy()),
        replace(text, held_out=~text.held_out),
        replace(text, pieces=WordPieces(spelled)),
    ):
        with pytest.raises(ConfigError, match="made up has changed since this run began"):
            train_language_model(other, settings(tmp_path / "run", text), StopRequest())
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == kept
    assert train_language_model(text, settings(tmp_path / "run", text), stop) is None


@pytest.mark.slow
def test_the_command_trains_measures_and_keeps_a_text_in_pieces(asr_command, tmp_path, monkeypatch) -> None:
    pytest.importorskip("sentencepiece")
    monkeypatch.chdir(tmp_path)
    Path("made.txt").write_text("\n".join(sentences(300)) + "\n", "utf-8")
    Path("other.txt").write_text("\n".join(sentences(20, seed=2)) + "\n", "utf-8")
    shape = ["network.pieces=40", "network.units=16", "network.embedding=16"]
    outcome = asr_command("lm", "kind=lstm", "made.txt", "output=made.npz", *shape)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("made.npz: ")
    outcome = asr_command("lm", "other.txt", "min_count=1", "output=other.lm")
    assert outcome.code == 0, outcome.err
    length = ["training.epochs=1", "training.rows=8", "training.window=24", "training.warmup_steps=2"]
    outcome = asr_command(
        "lm", "kind=lstm", "made.npz", "run_dir=run", "valid=[other.txt]", "base=other.lm", *shape, *length
    )
    assert outcome.code == 0, outcome.err
    size, held_out, perplexity, both = outcome.out.splitlines()
    assert size.startswith("made.onnx: ")
    assert "in 3 sentences" in held_out
    assert perplexity.startswith("perplexity ")
    assert "other.lm" in both
    again = asr_command("lm", "kind=lstm", "made.onnx", "valid=[other.txt]", "base=other.lm")
    assert again.out.splitlines() == [perplexity, both]
    refused = {
        ("made.npz", "output=made.lm"): "with kind=lstm, the name must end in .onnx",
        ("made.npz", "made.txt"): "it is trained on alone",
        ("made.onnx",): "with valid=[TEXT] to measure it",
        ("made.txt", "base=other.lm"): "it needs valid",
        ("made.txt", "unit=characters"): "kind=lstm is for models over words",
        ("made.npz", "network.pieces=20"): "set network.pieces=",  # made.onnx is of this text
        ("made.txt", "other.txt"): "made.onnx: exists, and may be of other texts",
        ("made.npz", "output=made.npz"): "would be replaced, and is read",
    }
    for arguments, message in refused.items():
        outcome = asr_command("lm", "kind=lstm", *arguments)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err
