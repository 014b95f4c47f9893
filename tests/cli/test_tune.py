from __future__ import annotations

import csv
import json
import shlex

import pytest

from asr.bundle import load_bundle
from asr.language.ngram_file import save_ngram

from ..conftest import SAMPLES, write_rows
from ..decoding.conftest import SENTENCES, train

MANIFEST = SAMPLES / "samples.jsonl"
RECORDING = sorted(SAMPLES.glob("*.opus"))[0]


@pytest.fixture
def language_model(tmp_path):
    save_ngram(tmp_path / "pets.lm", train(SENTENCES), provenance={"made_for": "tests"})
    return tmp_path / "pets.lm"


def test_the_best_settings_are_found_shown_and_written(asr_command, tiny_bundle, language_model, tmp_path):
    arguments = [
        "tune", MANIFEST, f"bundle={tiny_bundle}", f"decoder.lm={language_model}", "trials=6", "beam_widths=[2,4]",
        f"output={tmp_path / 'tuned'}", f"report_dir={tmp_path / 'report'}", "decoder.score_margin=13",
    ]  # fmt: skip
    outcome = asr_command(*arguments)
    assert outcome.code == 0, outcome.err
    assert "<- recommended" in outcome.out
    rows = list(csv.DictReader((tmp_path / "report" / "trials.csv").read_text().splitlines()))
    assert len(rows) == 6 + 3  # the width that was set is tried too
    assert (tmp_path / "report" / "surface.png").read_bytes().startswith(b"\x89PNG")
    tuned = load_bundle(tmp_path / "tuned")
    assert tuned.decoder is not None
    assert tuned.decoder.lm == str(tmp_path / "tuned" / "language.lm")
    assert sum(tuned.priors) == pytest.approx(1, abs=1e-4)
    assert f"decoder.prior_weight={tuned.decoder.prior_weight:.3f}" in outcome.out
    assert f"decoder.lm_weight={tuned.decoder.lm_weight:.3f}" in outcome.out
    assert asr_command(*arguments).out.splitlines()[:6] == outcome.out.splitlines()[:6]
    # Its own language model is taken where none is named.
    again = asr_command("tune", MANIFEST, f"bundle={tmp_path / 'tuned'}", "trials=1", "beam_widths=[2]")
    assert f"decoder.lm={tuned.decoder.lm}" in again.out
    # ... and its other settings are what the search begins with.
    assert f"decoder.word_bonus={tuned.decoder.word_bonus:.3f}" in again.out
    assert f"decoder.unknown_score={tuned.decoder.unknown_score:.3f}" in again.out
    assert "decoder.score_margin=13.0" in again.out
    # A beam search that takes nothing from the bundle has no language model to weigh, and says what it goes without.
    weighed = asr_command("tune", MANIFEST, f"bundle={tmp_path / 'tuned'}", "decoder=beam")
    assert weighed.code == 2
    assert "no language model is named" in weighed.err
    bare = asr_command("transcribe", RECORDING, f"bundle={tmp_path / 'tuned'}", "decoder=beam", "decoder.beam_width=4")
    assert bare.code == 0
    assert "so it has no language model" in bare.err
    # The bundle decodes so by itself, and can be moved.
    (tmp_path / "tuned").rename(tmp_path / "moved")
    language_model.unlink()
    spoken = asr_command("transcribe", RECORDING, f"bundle={tmp_path / 'moved'}")
    assert spoken.code == 0, spoken.err
    asr_command("evaluate", MANIFEST, f"bundle={tmp_path / 'moved'}", f"output_dir={tmp_path / 'evaluated'}")
    about = json.loads((tmp_path / "evaluated" / "report.json").read_bytes())["systems"][0]["about"]
    assert about["decoder_settings"]["lm"] == "language.lm"
    described = asr_command("info", tmp_path / "moved").out
    assert "beam search" in described
    assert "language      made_for: tests" in described


def test_a_bundle_that_knows_no_priors_is_tuned_without_them_where_nothing_is_written(
    asr_command, tiny_bundle, language_model
):
    outcome = asr_command(
        "tune", MANIFEST, f"bundle={tiny_bundle}", f"decoder.lm={language_model}", "trials=4", "beam_widths=[2]"
    )
    assert outcome.code == 0, outcome.err
    assert "decoder.prior_weight=0.000" in outcome.out


def test_what_is_printed_can_be_typed(asr_command, tiny_bundle, language_model):
    settings = ["decoder.hotwords=[kathleen,new york:8]", "decoder.min_symbol_log_prob=null"]
    lm = f"decoder.lm={language_model}"
    outcome = asr_command("tune", MANIFEST, f"bundle={tiny_bundle}", "decoder=beam", lm, *settings, "trials=1")
    assert outcome.code == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("decoder=beam ")]
    typed = shlex.split(line)
    assert {lm, *settings} <= set(typed)
    assert asr_command("transcribe", RECORDING, f"bundle={tiny_bundle}", *typed).code == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "decoder.lm=FILE (`asr lm` makes one)"),
        (["decoder.lm=none.lm"], "none.lm: No such file"),
        (["decoder.lm=a.lm", "decoder.hotwords=[a]", "output=b"], "a bundle does not store decoder.hotwords"),
    ],
)
def test_what_cannot_be_tuned_is_refused(asr_command, tiny_bundle, overrides, message):
    outcome = asr_command("tune", MANIFEST, f"bundle={tiny_bundle}", *overrides)
    assert outcome.code == 2
    assert message in outcome.err


def test_recordings_without_words_are_nothing_to_tune_on(asr_command, tiny_bundle, language_model, tmp_path):
    manifest = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": str(RECORDING), "text": ""}])
    outcome = asr_command("tune", manifest, f"bundle={tiny_bundle}", f"decoder.lm={language_model}")
    assert outcome.code == 2
    assert "nothing to tune on" in outcome.err


def test_greedy_decoding_gets_its_confidences_calibrated(asr_command, tmp_path):
    outcome = asr_command("tune", MANIFEST, "decoder=greedy", f"output={tmp_path / 'sure'}", f"report_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    assert "expected calibration error" in outcome.out
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    spoken = asr_command("transcribe", RECORDING, f"bundle={tmp_path / 'sure'}", "decoder=greedy", "format=jsonl")
    words = json.loads(spoken.out)["words"]
    assert words
    assert all(0 <= word["confidence"] <= 1 for word in words)
