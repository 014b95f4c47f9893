"""An output layer over phones, from the manifest to a transcript."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.acoustic.keras_model import build_model, read_weights
from asr.acoustic.loss import pack_targets
from asr.acoustic.outputs import output_slices
from asr.acoustic.steps import count_steps
from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.bundle import copy_bundle, load_bundle
from asr.corpus.batching import PlannedBatch, Shape
from asr.corpus.manifest import read_manifest
from asr.errors import BundleError, ConfigError, LanguageModelError, ManifestError
from asr.language.ngram_file import save_ngram
from asr.pronunciation.dictionary import Pronunciations, read_dictionary, write_dictionary
from asr.pronunciation.g2p import G2p, G2pSettings
from asr.pronunciation.packed import load_dictionary
from asr.pronunciation.phones import PHONES, PhoneSet
from asr.recognition.transcriber import Transcriber
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.decoding import AutoConfig, BeamConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import EngineKind, ModelConfig
from asr.settings.training import TrainingConfig
from asr.text.alphabet import Alphabet
from asr.training.examples import Examples
from asr.training.finetune import adopt_settings, initial_weights
from asr.training.preflight import read_corpus
from asr.training.run import train

from ..conftest import SAMPLES, SMOKE, smoke_manifests
from ..decoding.conftest import train as train_model

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
SMALL = ModelConfig(depth=1, units=12, projection=0, channels=4, phone_output=True)
FEATURES = FeatureConfig(mels=16)


def made_up(word: str) -> tuple[str, ...]:
    """A pronunciation of one phone a letter: any one will do here."""
    return tuple(PHONES[ord(letter) % len(PHONES)] for letter in word)


def write_lexicon(folder: Path, texts: list[str]) -> Path:
    path = folder / "lexicon.txt"
    words = {word for text in texts for word in text.split()}
    write_dictionary(path, {word: [made_up(word)] for word in words})
    return path


@pytest.fixture
def settings(tmp_path) -> TrainConfig:
    manifests = smoke_manifests(tmp_path, train=6, valid=3)
    texts = [one.text or "" for path in manifests.values() for one in read_manifest(path).utterances]
    return TrainConfig(
        data=DataConfig(
            train=[str(manifests["train"])],
            valid=[str(manifests["valid"])],
            lexicon=str(write_lexicon(tmp_path, texts)),
        ),
        model=SMALL,
        features=FEATURES,
        training=TrainingConfig(epochs=1, batch_size=3, workers=0, mmi_order=3),
    )


def test_a_phone_output_without_a_lexicon_is_refused():
    with pytest.raises(ConfigError, match=r"data\.lexicon=FILE"):
        TrainConfig(model=SMALL)


def test_without_a_lexicon_the_bundle_that_a_run_starts_from_pronounces_the_words(settings):
    """By its dictionary, and other words by its G2P model."""
    bundle = load_bundle("en")
    corpus = read_corpus(replace(settings, data=replace(settings.data, lexicon=None), init="en"))
    dictionary = load_dictionary(bundle.decoder.pronunciations).pronunciations
    texts = [one.text for one in corpus.train]
    known = [word for text in texts for word in text.split() if word in dictionary]
    assert len(known) > 5
    for word in known:
        assert tuple(corpus.lexicon[word]) == tuple(dictionary[word])
    assert set(corpus.lexicon) >= {word for text in texts for word in text.split()}
    assert corpus.phone_labels(corpus.train)[0]


def test_a_bundle_without_pronunciations_cannot_give_them(settings):
    with pytest.raises(ConfigError, match=r"needs the pronunciations of the words: data\.lexicon=FILE"):
        read_corpus(replace(settings, data=replace(settings.data, lexicon=None), init="tiny"))


def test_with_another_alphabet_the_phones_of_a_bundle_are_left_out_unless_they_are_asked_for():
    bundle = load_bundle("en")
    for chosen, kept in (
        (set(), True),
        ({"alphabet.symbols"}, False),
        ({"alphabet.symbols", "model.phone_output"}, True),
    ):
        given = TrainConfig(init="en", model=ModelConfig(phone_output="model.phone_output" in chosen))
        assert adopt_settings(given, bundle, chosen).model.phone_output is kept


def test_phones_are_trained_by_ctc_unless_a_weight_of_mmi_is_given():
    assert TrainConfig(init="en", model=SMALL).mmi_weight == 0
    assert TrainConfig(init="en", model=SMALL, training=TrainingConfig(mmi_weight=0.9)).mmi_weight == 0.9


def test_a_word_without_a_pronunciation_is_named_before_the_training(settings, tmp_path):
    lexicon = dict(read_dictionary(settings.data.lexicon))
    word = read_manifest(settings.data.train[0]).utterances[2].text.split()[-1]
    del lexicon[word]
    write_dictionary(tmp_path / "lexicon.txt", lexicon)
    with pytest.raises(ManifestError, match=f"train.jsonl:3: '{word}' has no pronunciation"):
        read_corpus(settings)


def test_labels_in_phones_are_the_preferred_pronunciations(settings):
    corpus = read_corpus(settings)
    corpus = replace(corpus, lexicon=Pronunciations({**corpus.lexicon, "extra": [("AH",), ("B",)]}))
    first = replace(corpus.train[0], text="extra " + corpus.train[0].text)
    (label,) = corpus.phone_labels([first])
    assert corpus.phones.decode(label) == [["AH"], *(list(made_up(word)) for word in corpus.train[0].text.split())]


def examples(phone_labels, **settings) -> Examples:
    utterances = read_manifest(SMOKE / "valid.jsonl").utterances[: len(phone_labels)]
    return Examples(utterances, ALPHABET, LogMel.from_librosa(FEATURES), SMALL, phone_labels=phone_labels, **settings)


def test_the_phones_of_joined_utterances_follow_each_other():
    labels = [[1, 40], [2], [3, 41]]
    augmenter = Augmenter(
        AugmentConfig(speeds=[1.0], mask_probability=0, join_probability=1.0, join_seconds=1e3), 16000
    )
    joined = examples(labels, augmenter=augmenter)
    batch = joined.prepare(PlannedBatch((0, 1, 2), Shape(3, 1, 1)), 0).batch
    companions = joined.companions(0)
    assert (companions >= 0).all()
    for row, companion in enumerate(companions):
        wanted = labels[row] + labels[companion]
        assert batch.phones[row, : batch.phone_counts[row]].tolist() == wanted
    assert batch.phones.shape == batch.labels.shape


def test_phones_that_do_not_fit_the_audio_leave_an_utterance_out():
    utterance = read_manifest(SMOKE / "valid.jsonl").utterances[0]
    steps = count_steps(utterance.duration, 1.0, FEATURES, SMALL)
    prepared = examples([[40] * (steps + 5), [1]]).prepare(PlannedBatch((0, 1), Shape(2, 1, 1)), 0)
    assert prepared.indices == (1,)
    assert "too few for its label" in prepared.left_out[0]


def test_targets_hold_both_kinds_of_labels():
    batch = examples([[1, 40], [2]]).prepare(PlannedBatch((0, 1), Shape(2, 1, 1)), 0).batch
    targets = pack_targets(batch, SMALL)
    width = targets.shape[1] // 2
    np.testing.assert_array_equal(targets[:, 3:width], batch.labels)
    np.testing.assert_array_equal(targets[:, width + 3 :], batch.phones)
    np.testing.assert_array_equal(targets[:, width], targets[:, 0])
    assert targets[:, width + 1].tolist() == [2, 1]


@pytest.mark.parametrize("mmi_weight", [0.0, 0.9])
def test_a_run_trains_saves_and_decodes_both_outputs(settings, tmp_path, mmi_weight):
    settings = replace(settings, training=replace(settings.training, mmi_weight=mmi_weight))
    result = train(settings, tmp_path / "run")
    assert np.isfinite(result.history[-1].train_loss)
    bundle = load_bundle(tmp_path / "run" / "last")
    assert bundle.phones == PhoneSet()
    frames = np.random.default_rng(1).standard_normal((60, FEATURES.mels)).astype(np.float32)
    outputs = [bundle.engine(kind).run(frames) for kind in (EngineKind.keras, EngineKind.onnx_float32)]
    np.testing.assert_allclose(*outputs, atol=1e-4)
    slices = output_slices(bundle.model, symbols=bundle.alphabet.size, phones=bundle.phones.size)
    for one in slices.values():
        np.testing.assert_allclose(np.exp(outputs[0][:, one]).sum(axis=1), 1, atol=1e-4)
    assert bundle.output_for(BeamConfig()) == slices["symbols"]
    assert bundle.output_for(BeamConfig(pronunciations="x")) == slices["phones"]


@pytest.fixture
def phone_bundle(tiny_bundle, tmp_path) -> Path:
    """The small bundle with random phones, and a decoder of its own that reads them."""
    bundle = load_bundle(tiny_bundle)
    settings = replace(bundle.model, phone_output=True)
    fresh = read_weights(build_model(settings, mels=20, symbols=bundle.alphabet.size, phones=PhoneSet().size))
    weights, _ = initial_weights(bundle, fresh, bundle.alphabet, PhoneSet())
    texts = ["the cat sat", "a dog saw the cat"]
    save_ngram(tmp_path / "words.lm", train_model(texts, order=2))
    g2p_settings, rng = G2pSettings(phones=PhoneSet().phones, embedding=4, units=4), np.random.default_rng(1)
    g2p_weights = {name: rng.standard_normal(shape) for name, shape in g2p_settings.shapes().items()}
    G2p(g2p_settings, g2p_weights).save(tmp_path / "letters.npz")
    decoder = BeamConfig(
        lm=str(tmp_path / "words.lm"),
        pronunciations=str(write_lexicon(tmp_path, texts)),
        g2p=str(tmp_path / "letters.npz"),
        min_symbol_log_prob=None,
    )
    path = tmp_path / "phones"
    copy_bundle(replace(bundle, model=settings, phones=PhoneSet()), path, weights=weights, decoder=decoder, priors=())
    return path


def test_a_bundle_brings_its_lexicon_along(phone_bundle, tmp_path):
    (tmp_path / "lexicon.txt").unlink()
    (tmp_path / "words.lm").unlink()
    transcript = Transcriber(load_bundle(phone_bundle)).transcribe(SAMPLES / "422-122949-0004.opus")
    assert transcript.text
    assert set(transcript.text.split()) <= {"the", "cat", "sat", "a", "dog", "saw"}
    assert all(0 <= one.start <= one.end <= transcript.duration for one in transcript.words)
    copy_bundle(load_bundle(phone_bundle), tmp_path / "copy")
    again = Transcriber(load_bundle(tmp_path / "copy")).transcribe(SAMPLES / "422-122949-0004.opus")
    assert again.text == transcript.text


def test_a_bundle_pronounces_hot_words_that_its_lexicon_lacks(phone_bundle, tmp_path):
    (tmp_path / "letters.npz").unlink()
    transcriber = Transcriber(load_bundle(phone_bundle), decoder=AutoConfig(hotwords=["Zebra:60"]))
    assert "zebra" in transcriber.transcribe(SAMPLES / "422-122949-0004.opus").text.split()
    (phone_bundle / "g2p.npz").unlink()
    with pytest.raises(BundleError, match=r"g2p\.npz is missing"):
        load_bundle(phone_bundle)


def test_a_file_that_is_no_g2p_model_is_not_put_into_a_bundle(phone_bundle, tmp_path):
    bundle = load_bundle(phone_bundle)
    with pytest.raises(LanguageModelError, match="predicts phones from letters"):
        copy_bundle(bundle, tmp_path / "copy", decoder=replace(bundle.decoder, g2p=bundle.decoder.lm))


def test_a_bundle_without_its_lexicon_is_refused(phone_bundle):
    (phone_bundle / "pronunciations.npz").unlink()
    with pytest.raises(BundleError, match=r"pronunciations\.npz is missing"):
        load_bundle(phone_bundle)


def test_priors_of_characters_are_not_those_of_phones(tiny_bundle):
    recommended = BeamConfig(prior_weight=0.5)
    assert AutoConfig(pronunciations="x").resolve(recommended).prior_weight == 0
    assert AutoConfig(pronunciations="x", prior_weight=0.2).resolve(recommended).prior_weight == 0.2


def test_an_added_output_over_phones_is_fresh_and_the_rest_is_kept(tiny_bundle, phone_bundle):
    plain, phones = load_bundle(tiny_bundle), load_bundle(phone_bundle)
    kept = phones.weights()
    for name, array in plain.weights().items():
        np.testing.assert_array_equal(kept[name], array)
    fresh = {name: np.zeros_like(array) for name, array in kept.items()}
    weights, _ = initial_weights(phones, fresh, phones.alphabet, PhoneSet())
    np.testing.assert_array_equal(weights["phones/kernel"], kept["phones/kernel"])
    weights, _ = initial_weights(phones, fresh, phones.alphabet, PhoneSet(PHONES[::-1]))
    assert not weights["phones/kernel"].any()
    without = {name: array for name, array in fresh.items() if not name.startswith("phones/")}
    weights, _ = initial_weights(phones, without, phones.alphabet)
    assert weights.keys() == without.keys()
