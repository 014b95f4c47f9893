"""Bundles evaluated on recordings: one pass of the network, and what comes from it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

import asr
from asr.bundle import load_bundle, save_bundle
from asr.errors import ConfigError, ManifestError
from asr.evaluation.sources import read_references
from asr.language.ngram_file import save_ngram
from asr.recognition.evaluate import Candidate, run_systems
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import RecognitionJob
from asr.settings.decoding import BeamConfig, GreedyConfig

from ..conftest import SAMPLES
from ..decoding.conftest import SENTENCES
from ..decoding.conftest import train as train_model
from ..evaluation.test_report import SCHEMA
from .test_transcriber import Counting

MANIFEST = SAMPLES / "samples.jsonl"


@pytest.fixture(scope="module")
def utterances():
    return read_references([str(MANIFEST)])


def test_systems_of_one_bundle_share_one_pass_and_have_the_texts_of_transcribe(tiny_bundle, utterances):
    bundle = load_bundle(tiny_bundle)
    engines = []

    def load_engine(bundle, kind):
        engines.append(Counting(bundle.engine(kind)))
        return engines[-1]

    decoders = (BeamConfig(beam_width=4), GreedyConfig())
    candidates = [Candidate(bundle, one, "tiny") for one in decoders]
    systems = run_systems(utterances, candidates, RecognitionJob(), load_engine=load_engine)
    assert [one.calls for one in engines] == [len(utterances)]
    for decoder, system in zip(decoders, systems, strict=True):
        expected = Transcriber(bundle, decoder=decoder).transcribe_files(one.audio for one in utterances)
        assert [(one.text, one.words) for one in system.outputs] == [(one.text, one.words) for one in expected]
    beam, greedy = systems
    assert beam.about["shares_pass_with"] == [greedy.name]
    assert beam.speed.wall_seconds == greedy.speed.wall_seconds
    assert beam.speed.core_seconds > greedy.speed.core_seconds > 0
    assert greedy.speed.peak_memory_mb is None


def test_spikes_come_from_the_output_layer_that_the_decoder_reads(tiny_bundle, tmp_path, utterances):
    """The layer for language models says nothing at all here: no symbol is likelier than another."""
    one = load_bundle(tiny_bundle)
    weights = one.weights()
    for name in ("kernel", "bias"):
        weights[f"symbols_mmi/{name}"] = np.zeros_like(weights[f"symbols/{name}"])
    save_bundle(
        tmp_path / "two", weights=weights, log_mel=one.log_mel, normalizer=one.normalizer, alphabet=one.alphabet,
        model=replace(one.model, mmi_output=True),
    )  # fmt: skip
    save_ngram(tmp_path / "pets.lm", train_model(SENTENCES))
    two = load_bundle(tmp_path / "two")
    spikes = {}
    for decoder in (GreedyConfig(), BeamConfig(beam_width=2, lm=str(tmp_path / "pets.lm"))):
        (system,) = run_systems(utterances[:2], [Candidate(two, decoder, "two")], RecognitionJob())
        spikes[type(decoder)] = [one for output in system.outputs for one in output.spikes]
    assert spikes[GreedyConfig]
    assert spikes[BeamConfig] == []


def test_greedy_texts_can_be_read_off_the_spikes(tiny_bundle, utterances):
    candidate = Candidate(load_bundle(tiny_bundle), GreedyConfig(), "tiny")
    (system,) = run_systems(utterances, [candidate], RecognitionJob())
    for output in system.outputs:
        likely = [one for one in output.spikes if one.probability > 0.5]
        assert all(one.symbol in output.text or one.symbol == " " for one in likely)
        assert all(before.seconds <= after.seconds for before, after in itertools.pairwise(likely))
        assert all(0.15 <= one.probability <= 1 for one in output.spikes)


def test_the_public_function_gives_the_report_of_the_command(asr_command, tiny_bundle, tmp_path):
    report = asr.evaluate(MANIFEST, bundle=tiny_bundle)
    assert asr_command("evaluate", MANIFEST, f"bundle={tiny_bundle}", f"output_dir={tmp_path / 'command'}").code == 0
    page = report.write(tmp_path / "function")
    assert page == tmp_path / "function" / "report.html"
    assert {one.name for one in (tmp_path / "function").iterdir()} == {
        one.name for one in (tmp_path / "command").iterdir()
    }
    values = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("function", "command")]
    for value in values:
        jsonschema.validate(value, SCHEMA)
        del value["systems"][0]["about"]["speed"]
    assert values[0] == values[1]
    assert report.wer == values[0]["systems"][0]["words"]["rate"]
    assert [one.value for one in report.slices["speaker"]]
    assert (tmp_path / "function" / "report.html").read_text().count("data:audio") == 6


def test_pairs_of_recordings_and_texts_are_references(tiny_bundle, tmp_path):
    paths = sorted(SAMPLES.glob("*.opus"))[:2]
    report = asr.evaluate([(paths[0], "one two"), (str(paths[1]), "three")], bundle=tiny_bundle)
    assert report.references.words == 3
    assert [one.utterance.id for one in report.utterances] == list(map(str, paths))
    gone = asr.evaluate([(tmp_path / "gone.wav", "one")], bundle=tiny_bundle)
    assert gone.systems[0].unreadable == 1
    assert gone.wer == 1


@pytest.mark.parametrize(
    ("references", "message"),
    [([], "there are none"), ([3], r"references\[0\]: 3"), (["m.jsonl", ("a.wav", "text")], "cannot be mixed")],
)
def test_other_references_are_refused(references, message):
    with pytest.raises(ConfigError, match=message):
        asr.evaluate(references)


def test_a_wrong_manifest_or_normaliser_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="no such manifest"):
        asr.evaluate(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="normalizer='loose'"):
        asr.evaluate(MANIFEST, normalizer="loose")
