"""Word pieces, from the manifest to a transcript."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.acoustic.keras_model import build_model, read_weights
from asr.bundle import copy_bundle, load_bundle
from asr.corpus.manifest import read_manifest
from asr.decoding.confidence import FEATURES, Calibration
from asr.errors import BundleError, ConfigError
from asr.language.ngram_file import save_ngram
from asr.recognition.aligner import align
from asr.recognition.evaluate import evaluate
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import EngineKind, ModelConfig
from asr.settings.text import AlphabetConfig, AlphabetUnit
from asr.settings.training import TrainingConfig
from asr.text.pieces import PieceAlphabet
from asr.training.finetune import adopt_settings, check_fits, initial_weights
from asr.training.preflight import read_corpus
from asr.training.run import train

from ..bundles import change_card
from ..conftest import smoke_manifests
from ..decoding.conftest import train as train_model

SMALL = ModelConfig(depth=1, units=12, projection=0, channels=4)


def settings_for(manifests: dict[str, Path], **changes) -> TrainConfig:
    settings = TrainConfig(
        data=DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])]),
        alphabet=AlphabetConfig(unit=AlphabetUnit.pieces, pieces=60),
        model=SMALL,
        features=FeatureConfig(mels=16),
        training=TrainingConfig(epochs=1, batch_size=3, workers=0),
    )
    return replace(settings, **changes)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory) -> dict[str, Path]:
    return smoke_manifests(tmp_path_factory.mktemp("pieces"), train=6, valid=3, shortest=False)


@pytest.fixture(scope="module")
def bundle_path(manifests, tmp_path_factory) -> Path:
    """A model over pieces after one epoch; its greedy output is made less blank, so that it writes something."""
    pytest.importorskip("sentencepiece")
    result = train(settings_for(manifests), tmp_path_factory.mktemp("runs") / "run")
    bundle = load_bundle(result.best_bundle)
    weights = bundle.weights()
    weights["symbols/bias"][0] -= 3
    path = tmp_path_factory.mktemp("bundles") / "pieces"
    calibration = Calibration((0.5,) * len(FEATURES))
    kinds = dict.fromkeys(("greedy", "beam", "beam_lm"), calibration)
    copy_bundle(bundle, path, weights=weights, confidence=kinds)
    return path


def test_the_pieces_of_the_training_texts_are_in_the_bundle(bundle_path, manifests):
    found, corpus = load_bundle(bundle_path).alphabet, read_corpus(settings_for(manifests))
    assert isinstance(found, PieceAlphabet)
    assert found == corpus.alphabet
    assert any(len(piece) > 2 for piece in found.symbols)
    card = json.loads((bundle_path / "bundle.json").read_text("utf-8"))
    assert card["alphabet"] == {"pieces": list(found.symbols), "scores": list(found.scores)}


def test_transcripts_have_words_times_and_confidences_on_every_engine(bundle_path, manifests, tmp_path):
    """Greedy, beam, and beam with a language model over words; ONNX in float32 against Keras."""
    bundle = load_bundle(bundle_path)
    utterances = read_manifest(manifests["valid"]).utterances
    save_ngram(tmp_path / "words.lm", train_model([one.text or "" for one in utterances], order=2))
    for decoder in (
        GreedyConfig(),
        BeamConfig(beam_width=8),
        BeamConfig(beam_width=8, lm=str(tmp_path / "words.lm"), hotwords=["the"]),
    ):
        found = {
            engine: Transcriber(bundle, decoder=decoder, engine=bundle.engine(engine)).transcribe(utterances[0].audio)
            for engine in (EngineKind.onnx_float32, EngineKind.keras)
        }
        onnx, keras = found.values()
        assert onnx.text == keras.text
        assert onnx.text == " ".join(word.text for word in onnx.words)
        assert onnx.text
        assert all(0 <= word.start < word.end <= onnx.duration for word in onnx.words)
        assert all(0 <= word.confidence <= 1 for word in onnx.words)


def test_a_word_list_with_a_closed_vocabulary_is_all_that_is_written(bundle_path, manifests, tmp_path):
    (tmp_path / "words.txt").write_text("the\nand\nof\n")
    decoder = BeamConfig(beam_width=8, lexicon=str(tmp_path / "words.txt"), open_vocabulary=False)
    utterance = read_manifest(manifests["valid"]).utterances[0]
    found = Transcriber(load_bundle(bundle_path), decoder=decoder).transcribe(utterance.audio)
    assert {word.text for word in found.words} <= {"the", "and", "of"}


def test_the_words_of_a_known_text_are_aligned(bundle_path, manifests):
    utterance = read_manifest(manifests["train"]).utterances[0]
    found = align(utterance.audio, utterance.text, bundle=load_bundle(bundle_path))
    assert [word.text for word in found.words] == utterance.text.split()
    starts, ends = [word.start for word in found.words], [word.end for word in found.words]
    assert starts == sorted(starts)
    assert all(start < end <= following for start, end, following in zip(starts, ends, [*starts[1:], 1e9], strict=True))


def test_a_bundle_of_pieces_is_evaluated(bundle_path, manifests):
    report = evaluate(manifests["valid"], bundle=load_bundle(bundle_path), decoder=GreedyConfig())
    assert report.wer > 0
    assert report.cer > 0


def fresh_weights(settings: TrainConfig, alphabet) -> dict:
    return read_weights(build_model(settings.model, mels=settings.features.mels, symbols=alphabet.size))


def test_fine_tuning_takes_the_pieces_of_its_bundle_whatever_the_new_texts_are(bundle_path, tmp_path):
    bundle = load_bundle(bundle_path)
    few = smoke_manifests(tmp_path, train=3, valid=2, shortest=False)
    settings = replace(adopt_settings(settings_for(few), bundle, chosen={"training.epochs"}), init=str(bundle_path))
    check_fits(settings, bundle)
    alphabet = read_corpus(settings).alphabet
    assert alphabet == bundle.alphabet
    weights, message = initial_weights(bundle, fresh_weights(settings, alphabet), alphabet)
    assert message == "all weights kept"
    assert {name: array.shape for name, array in weights.items()} == {
        name: array.shape for name, array in bundle.weights().items()
    }


def test_a_bundle_of_characters_gives_the_pieces_that_it_knows(tiny_bundle, manifests):
    pytest.importorskip("sentencepiece")
    bundle = load_bundle(tiny_bundle)
    settings = adopt_settings(settings_for(manifests), bundle, chosen={"alphabet.unit", "alphabet.pieces"})
    alphabet = read_corpus(settings).alphabet
    weights, message = initial_weights(bundle, fresh_weights(settings, alphabet), alphabet)
    shared = set(alphabet.symbols) & set(bundle.alphabet.symbols)
    assert message.startswith(
        f"output layer remade: {len(shared)} symbols kept, {len(alphabet.symbols) - len(shared)} new"
    )
    for symbol in shared:
        np.testing.assert_array_equal(
            weights["symbols/kernel"][:, alphabet.number(symbol)],
            bundle.weights()["symbols/kernel"][:, bundle.alphabet.number(symbol)],
        )


@pytest.mark.parametrize(
    ("alphabet", "message"),
    [
        ({"pieces": "ab", "scores": [0, 0]}, r"alphabet\.pieces must be a list"),
        ({"pieces": ["a", "b"]}, r"alphabet\.scores must be a list, not None"),
        ({"pieces": ["a", "b"], "scores": [0, "x"]}, r"alphabet\.scores must be a finite number"),
        ({"pieces": ["a", 3], "scores": [0, 0]}, r"alphabet\.pieces must be a list of texts"),
        ({"pieces": ["a", "a"], "scores": [0, 0]}, r"more than once"),
        ({}, r"'symbols' is missing"),
    ],
)
def test_a_card_with_other_pieces_is_refused(bundle_path, tmp_path, alphabet, message):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in bundle_path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    change_card(copy, alphabet=alphabet)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


def test_mmi_over_pieces_is_refused():
    with pytest.raises(ConfigError, match=r"pieces are too many.*model\.mmi_output=false"):
        TrainConfig(alphabet=AlphabetConfig(unit=AlphabetUnit.pieces), model=replace(SMALL, mmi_output=True))
    TrainConfig(model=replace(SMALL, mmi_output=True))
