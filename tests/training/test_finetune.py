from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from asr.acoustic.keras_model import build_model, read_weights
from asr.bundle import copy_bundle, load_bundle, save_bundle
from asr.corpus.manifest import read_manifest
from asr.errors import ConfigError
from asr.evaluation.scoring import score
from asr.language.ngram_file import save_ngram
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.settings.model import ModelConfig
from asr.settings.text import AlphabetConfig, NormalizerConfig
from asr.settings.training import OptimizerConfig, TrainingConfig
from asr.text.alphabet import Alphabet
from asr.text.normalize import normalize_text
from asr.training.engine import Engine
from asr.training.finetune import adopt_settings, check_fits, initial_weights
from asr.training.run import train
from asr.training.training_data import describe_loss

from ..conftest import smoke_manifests
from ..decoding.conftest import SENTENCES
from ..decoding.conftest import train as train_model


@pytest.fixture
def bundle(tiny_bundle):
    return load_bundle(tiny_bundle)


def test_a_bundle_brings_its_settings_but_for_those_that_were_chosen(bundle):
    settings = TrainConfig(
        model=ModelConfig(dropout=0.4, depth=2), normalizer=NormalizerConfig(lowercase=False), init="x"
    )
    adopted = adopt_settings(settings, bundle, {"normalizer", "model.depth", "model.dropout"})
    assert adopted.features == bundle.log_mel.settings
    assert adopted.model == replace(bundle.model, dropout=0.4, depth=2)
    assert adopted.normalizer == settings.normalizer
    assert adopted.alphabet.symbols == bundle.alphabet.symbols
    chosen = replace(settings, alphabet=AlphabetConfig(symbols="abc"))
    assert adopt_settings(chosen, bundle, {"alphabet.symbols"}).alphabet.symbols == "abc"


def test_other_features_and_another_model_are_refused_by_name(bundle):
    fitting = adopt_settings(TrainConfig(init="x"), bundle, ())
    check_fits(fitting, bundle)
    check_fits(replace(fitting, model=replace(fitting.model, dropout=0.5)), bundle)
    with pytest.raises(ConfigError, match=r"features\.mels is 20 there and 40 here"):
        check_fits(replace(fitting, features=replace(fitting.features, mels=40)), bundle)
    with pytest.raises(ConfigError, match=r"model\.units is 16 there and 32 here"):
        check_fits(replace(fitting, model=replace(fitting.model, units=32)), bundle)


def fresh_weights(bundle, alphabet: Alphabet, **model) -> dict[str, np.ndarray]:
    settings = replace(bundle.model, **model)
    return read_weights(build_model(settings, mels=bundle.log_mel.settings.mels, symbols=alphabet.size))


def test_a_second_output_starts_as_the_first_one_of_a_bundle_without_and_can_be_left_out(bundle, tmp_path):
    adopted = adopt_settings(TrainConfig(init="x", model=ModelConfig(mmi_output=True)), bundle, ())
    check_fits(adopted, bundle)
    weights, _ = initial_weights(bundle, fresh_weights(bundle, bundle.alphabet, mmi_output=True), bundle.alphabet)
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(weights[f"symbols_mmi/{name}"], bundle.weights()[f"symbols/{name}"])
    weights["symbols_mmi/bias"] = weights["symbols_mmi/bias"] + 1
    save_bundle(
        tmp_path / "two", weights=weights, log_mel=bundle.log_mel, normalizer=bundle.normalizer,
        alphabet=bundle.alphabet, model=adopted.model,
    )  # fmt: skip
    two = load_bundle(tmp_path / "two")
    assert adopt_settings(TrainConfig(init="x"), two, ()).model.mmi_output
    without = adopt_settings(TrainConfig(init="x"), two, {"model.mmi_output"})
    check_fits(without, two)
    one, _ = initial_weights(two, fresh_weights(two, two.alphabet, mmi_output=False), two.alphabet)
    assert one.keys() == bundle.weights().keys()


def test_the_same_alphabet_keeps_every_weight(bundle):
    weights, message = initial_weights(bundle, fresh_weights(bundle, bundle.alphabet), bundle.alphabet)
    for name, array in bundle.weights().items():
        np.testing.assert_array_equal(weights[name], array)
    assert message == "all weights kept"


def test_another_alphabet_keeps_the_blank_and_the_symbols_that_both_have(bundle):
    alphabet = Alphabet(" acb\u00e4")
    fresh, kept = fresh_weights(bundle, alphabet), bundle.weights()
    weights, message = initial_weights(bundle, fresh, alphabet)
    for new, old in ((0, 0), (1, 1), (2, 3), (3, 5), (4, 4)):  # blank, space, a, c, b; theirs are " 'abc..."
        np.testing.assert_array_equal(weights["symbols/kernel"][:, new], kept["symbols/kernel"][:, old])
        assert weights["symbols/bias"][new] == kept["symbols/bias"][old]
    np.testing.assert_array_equal(weights["symbols/kernel"][:, 5], fresh["symbols/kernel"][:, 5])
    np.testing.assert_array_equal(weights["recurrent_1/kernel"], kept["recurrent_1/kernel"])
    assert message == "output layer remade: 4 symbols kept, 1 new (\u00e4)"


@pytest.mark.parametrize(
    ("count", "still"), [(0, set()), (1, {"convolution", "front"}), (2, {"convolution", "front", "recurrent_1"})]
)
def test_frozen_layers_keep_their_weights(rng, count, still):
    from asr.corpus.batching import collate
    from asr.settings.features import FeatureConfig

    settings = TrainConfig(
        features=FeatureConfig(mels=8),
        model=ModelConfig(depth=2, units=8, projection=8, channels=2),
        init="x",
        frozen_layers=count,
    )
    engine = Engine(settings, symbols=5, average_steps=3)
    before = read_weights(engine.model)
    frames = [rng.standard_normal((40, 8)).astype(np.float32) for _ in range(3)]
    for _ in range(2):
        assert not engine.step(collate(frames, [[1, 2], [3], [4, 1]])).fault
    after = read_weights(engine.model)
    for name in before:
        frozen = any(name.startswith(prefix) for prefix in still)
        assert np.array_equal(before[name], after[name]) == frozen, name


def test_a_training_starts_from_a_bundle_and_logs_it(tiny_bundle, tmp_path):
    manifests = smoke_manifests(tmp_path, train=12, valid=4)
    data = DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])])
    training = TrainingConfig(epochs=1, batch_size=4, average_epochs=1.0)
    settings = TrainConfig(data=data, training=training, init=str(tiny_bundle), frozen_layers=2)
    settings = adopt_settings(settings, load_bundle(tiny_bundle), {"alphabet.symbols"})
    settings = replace(settings, alphabet=AlphabetConfig(from_data=True))
    train(settings, tmp_path / "run")
    made = load_bundle(tmp_path / "run" / "last")
    assert made.alphabet != load_bundle(tiny_bundle).alphabet
    assert made.provenance["init"]["bundle"] == tiny_bundle.name
    kept, now = load_bundle(tiny_bundle).weights(), made.weights()
    np.testing.assert_array_equal(now["recurrent_1/kernel"], kept["recurrent_1/kernel"])
    assert now["symbols/kernel"].shape[1] == made.alphabet.size


def test_the_decoder_and_punctuation_go_along_unless_the_alphabet_changes(tiny_bundle, tmp_path):
    save_ngram(tmp_path / "pets.lm", train_model(SENTENCES))
    source = load_bundle(tiny_bundle)
    decoder = BeamConfig(lm=str(tmp_path / "pets.lm"), beam_width=4, prior_weight=0.3)
    priors, tagger = [1 / source.alphabet.size] * source.alphabet.size, load_bundle("en").tagger_content()
    copy_bundle(source, tmp_path / "with-lm", decoder=decoder, priors=priors, tagger=tagger)
    manifests = smoke_manifests(tmp_path, train=3, valid=2)
    data = DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])])
    settings = TrainConfig(data=data, training=TrainingConfig(epochs=1), init=str(tmp_path / "with-lm"))
    settings = adopt_settings(settings, source, {"alphabet.symbols"})
    for folder, symbols in (("same", source.alphabet.symbols), ("other", source.alphabet.symbols[::-1])):
        train(replace(settings, alphabet=AlphabetConfig(symbols=symbols)), tmp_path / folder)
    same, other = (load_bundle(tmp_path / folder / "last") for folder in ("same", "other"))
    assert same.decoder == replace(decoder, lm=str(tmp_path / "same" / "last" / "language.lm"))
    assert same.priors == load_bundle(tmp_path / "with-lm").priors
    assert same.tagger_content() == tagger
    assert (other.decoder, other.priors, other.tagger()) == (None, (), None)
    # The report decodes as the bundle will be used, and so does the validation by which the epoch is chosen.
    beam = "beam of 4, language model language.lm"
    for folder, label, used in (("same", beam, decoder), ("other", "greedy", GreedyConfig())):
        (system,) = json.loads((tmp_path / folder / "validation" / "report.json").read_text())["systems"]
        assert (system["name"], system["about"]["decoder"]) == (f"best, {label}", label)
        written = [
            one["systems"][0]["hypothesis"]
            for one in json.loads((tmp_path / folder / "validation" / "report.json").read_text())["utterances"]
        ]
        best = load_bundle(tmp_path / folder / "best")
        transcriber = Transcriber(best, decoder=used)
        recordings = [one.audio_path for one in read_manifest(manifests["valid"]).utterances]
        texts = [transcriber.transcribe(path).text for path in recordings]
        assert written == [normalize_text(text, best.normalizer) for text in texts]
        (rates,) = best.error_rates.values()
        assert rates["decoder"] == label


def test_the_starting_model_is_epoch_0_and_may_be_the_best(tiny_bundle, tmp_path, caplog):
    manifests = smoke_manifests(tmp_path, train=3, valid=2)
    data = DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])])
    # A rate at which no weight changes enough for another text.
    settings = TrainConfig(
        data=data, training=TrainingConfig(epochs=2), optimizer=OptimizerConfig(learning_rate=1e-12),
        init=str(tiny_bundle),
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        history = train(adopt_settings(settings, load_bundle(tiny_bundle), ()), tmp_path / "run").history
    assert [one.epoch for one in history] == [0, 1, 2]
    assert history[0].train_loss is None
    assert (history[0].batches, history[0].utterances) == (0, 0)
    assert history[0].valid_cer == history[1].valid_cer
    assert "epoch 0, the starting model: validation loss" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    best = load_bundle(tmp_path / "run" / "best")
    assert best.provenance["epoch"] == 0
    for name, array in load_bundle(tiny_bundle).weights().items():
        np.testing.assert_array_equal(best.weights()[name], array)
    # Validated once: a run that goes on has it already.
    assert train(adopt_settings(settings, load_bundle(tiny_bundle), ()), tmp_path / "run").history == history


def test_a_training_from_random_weights_has_no_epoch_0(tmp_path):
    manifests = smoke_manifests(tmp_path, train=3, valid=2)
    data = DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])])
    model = ModelConfig(depth=1, units=8, projection=8, channels=2)
    history = train(TrainConfig(data=data, model=model, training=TrainingConfig(epochs=1)), tmp_path / "run").history
    assert [one.epoch for one in history] == [1]


def test_epochs_are_compared_by_the_output_and_the_decoder_that_the_bundle_will_use(bundle, tmp_path):
    """A second output that writes only "a": greedy decoding of the first one would not show it."""
    save_ngram(tmp_path / "pets.lm", train_model(SENTENCES))
    model = replace(bundle.model, mmi_output=True)
    weights = {name: array.copy() for name, array in bundle.weights().items()}
    for name in ("kernel", "bias"):
        weights[f"symbols_mmi/{name}"] = 0 * weights[f"symbols/{name}"]
    weights["symbols_mmi/bias"][bundle.alphabet.encode("a")] = 20.0
    decoder = BeamConfig(lm=str(tmp_path / "pets.lm"), beam_width=64)
    copy_bundle(replace(bundle, model=model), tmp_path / "two", weights=weights, decoder=decoder, priors=())
    two = load_bundle(tmp_path / "two")
    manifests = smoke_manifests(tmp_path, train=3, valid=2)
    data = DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])])
    settings = TrainConfig(
        data=data, training=TrainingConfig(epochs=1, mmi_order=3), optimizer=OptimizerConfig(learning_rate=1e-12),
        init=str(two.path),
    )  # fmt: skip
    train(adopt_settings(settings, two, ()), tmp_path / "run")
    best = load_bundle(tmp_path / "run" / "best")
    (rates,) = best.error_rates.values()
    assert rates["decoder"] == "beam of 8, language model language.lm"
    with Transcriber(two, decoder=replace(two.decoder, beam_width=8)) as transcriber:
        utterances = read_manifest(manifests["valid"]).utterances
        texts = [transcriber.transcribe(one.audio_path).text for one in utterances]
    assert set(texts) == {"a"}
    wanted = score([normalize_text(one.text, two.normalizer) for one in utterances], texts)
    assert rates["cer"] == pytest.approx(wanted.characters.rate)


@pytest.mark.parametrize(
    ("model", "weight", "name"),
    [
        ({}, None, "CTC"),
        ({}, 0.9, "0.9 MMI + 0.1 CTC"),
        ({"mmi_output": True}, None, "0.9 MMI + 0.1 CTC (second output), CTC (characters)"),
        ({"phone_output": True}, 0.75, "0.75 MMI + 0.25 CTC (phones), CTC (characters)"),
    ],
)
def test_the_loss_is_named(model, weight, name):
    settings = TrainConfig(
        model=ModelConfig(**model), training=TrainingConfig(mmi_weight=weight), data=DataConfig(lexicon="words.txt")
    )
    assert describe_loss(settings) == name


def test_statistics_of_the_corpus_stay_those_that_the_weights_were_trained_with(bundle, tmp_path):
    from asr.settings.features import Normalization

    mean, deviation = (
        np.linspace(*ends, bundle.log_mel.settings.mels, dtype=np.float32) for ends in ((-9, -4), (1, 3))
    )
    features = replace(bundle.log_mel.settings, normalization=Normalization.corpus)
    log_mel = replace(bundle.log_mel, settings=features, mean=mean, deviation=deviation)
    copy_bundle(replace(bundle, log_mel=log_mel), tmp_path / "base")
    base = load_bundle(tmp_path / "base")
    manifests = smoke_manifests(tmp_path, train=3, valid=2)
    data = DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])])
    settings = TrainConfig(data=data, training=TrainingConfig(epochs=1), init=str(base.path))
    train(adopt_settings(settings, base, ()), tmp_path / "run")
    kept = load_bundle(tmp_path / "run" / "last").log_mel
    np.testing.assert_array_equal(kept.mean, mean)
    np.testing.assert_array_equal(kept.deviation, deviation)


def test_freezing_fresh_weights_is_refused():
    with pytest.raises(ConfigError, match="give init=BUNDLE"):
        TrainConfig(frozen_layers=1)
    with pytest.raises(ConfigError, match="frozen_layers must be between 0 and 4, not 5"):
        TrainConfig(frozen_layers=5, init="en")
