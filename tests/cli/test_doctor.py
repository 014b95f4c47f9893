from __future__ import annotations

import json

import numpy as np
import soundfile

from ..conftest import REPOSITORY, SMOKE, smoke_manifests, write_rows


def test_clean_data_passes(asr_command, tmp_path):
    manifests = smoke_manifests(tmp_path, train=12, valid=5)
    outcome = asr_command("doctor", manifests["train"], manifests["valid"])
    assert outcome.code == 0, outcome.err
    assert "0 of 17 unusable (0.00%), 0 more suspicious" in outcome.out or "no fault found" in outcome.out


def test_faults_are_printed_written_and_counted_in_the_exit_code(asr_command, tmp_path):
    rows = [{"audio_filepath": str(SMOKE / "valid/an7-fjmd-b.opus"), "text": "hello", "id": "good"}]
    rows += [{"audio_filepath": "gone.wav", "text": "x", "id": "lost"}]
    manifest = write_rows(tmp_path / "m.jsonl", rows)
    outcome = asr_command("doctor", manifest, f"output_dir={tmp_path / 'out'}")
    assert outcome.code == 1
    assert "recording missing" in outcome.out
    assert "50.00 % of the utterances are unusable" in outcome.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["faults"]["missing"]["found"][0]["id"] == "lost"
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    quarantine = tmp_path / "out" / "quarantine.jsonl"
    again = asr_command("doctor", manifest, f"data.quarantine={quarantine}")
    assert again.code == 0
    assert "in quarantine, left out" in again.out
    lenient = asr_command("doctor", manifest, "data.max_faulty=0.5")
    assert lenient.code == 0


def test_it_takes_the_settings_of_a_training(asr_command, monkeypatch):
    monkeypatch.chdir(SMOKE.parent.parent)
    outcome = asr_command("doctor", "experiment=smoke")
    assert outcome.code == 0, outcome.err
    assert "train" in outcome.out
    assert "valid" in outcome.out


def test_augmented_utterances_are_written_for_ears_and_eyes(asr_command, tmp_path):
    manifest = smoke_manifests(tmp_path, train=4, valid=1)["train"]
    folder = tmp_path / "shown"
    for spelling in (["--show-augmented", str(folder)], [f"--show-augmented={folder}"], [f"show_augmented={folder}"]):
        outcome = asr_command("doctor", manifest, "augment=robust", "show_count=2", *spelling)
        assert outcome.code == 0, outcome.err
        assert sorted(path.suffix for path in folder.glob("[0-9]*")) == [".png", ".png", ".wav", ".wav"]
    samples, rate = soundfile.read(next(folder.glob("*.wav")))
    assert rate == 16000
    assert np.abs(samples).max() > 0.01


def test_no_manifest_and_a_flag_without_its_folder_are_usage_errors(asr_command):
    outcome = asr_command("doctor")
    assert outcome.code == 2
    assert "no manifest is named" in outcome.err
    assert "needs a folder" in asr_command("doctor", "--show-augmented").err
    assert "did you mean --show-augmented?" in asr_command("doctor", "--show-augmentd", "x").err


def test_a_typo_is_answered(asr_command):
    assert "did you mean 'output_dir'" in asr_command("doctor", "ouput_dir=x").err


def test_what_is_no_manifest_is_a_usage_error(asr_command, tmp_path):
    for name, hint in (
        (tmp_path / "mistyped.jsonl", "no such manifest"),
        (SMOKE, "a folder, not a manifest; `asr prepare recordings"),
        (
            SMOKE / "valid" / "an7-fjmd-b.opus",
            "not a text file: expected a manifest, JSON lines",
        ),
        (REPOSITORY / "LICENSE", "it holds no line of a manifest (docs/manifests.md describes the format)"),
    ):
        outcome = asr_command("doctor", name)
        assert outcome.code == 2, name
        assert hint in outcome.err
        assert outcome.out == ""
