"""`cluster=`, and recordings by URL: what many processes make is what one makes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.cli.distributed import size_of
from asr.corpus.manifest import read_manifest

from ..conftest import RATE, SAMPLES, oracle_module, write_rows

TINY = "bundle=tiny"


@pytest.fixture
def recordings(tmp_path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "more").mkdir(parents=True)
    for number, path in enumerate(sorted(SAMPLES.glob("*.opus"))[:3]):
        shutil.copy(path, folder / ("more" if number == 2 else "."))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".asr") for part in path.relative_to(folder).parts)
    }


def test_transcripts_are_those_of_one_process_and_are_made_once(asr_command, recordings, tmp_path):
    plain, shared = tmp_path / "plain", tmp_path / "shared"
    assert asr_command("transcribe", recordings, TINY, f"output_dir={plain}").code == 0
    outcome = asr_command("transcribe", recordings, TINY, f"output_dir={shared}", "cluster=local", "workers=2")
    assert outcome.code == 0, outcome.err
    assert contents(shared) == contents(plain)
    assert len(contents(shared)) == 3
    # Each way knows the other's outputs.
    again = asr_command("transcribe", recordings, TINY, f"output_dir={plain}", "cluster=local")
    assert "0 transcripts written" in again.err
    assert "3 were there already" in again.err
    assert "3 were there already" in asr_command("transcribe", recordings, TINY, f"output_dir={shared}").err


def test_the_order_on_standard_output_is_that_of_the_recordings(asr_command, recordings):
    plain = asr_command("transcribe", recordings, TINY)
    assert plain.out.count("\n") == 3
    assert asr_command("transcribe", recordings, TINY, "cluster=local").out == plain.out


def test_outputs_of_other_settings_are_refused_with_the_remedy(asr_command, recordings, tmp_path):
    common = ("transcribe", recordings / "more", TINY, f"output_dir={tmp_path / 'texts'}", "cluster=local")
    assert asr_command(*common).code == 0
    before = contents(tmp_path / "texts")
    outcome = asr_command(*common, "decoder=greedy", "mark_below=null", "channel=1")
    assert outcome.code == 2
    assert "of another bundle or with other settings" in outcome.err
    assert "name another output_dir" in outcome.err
    assert contents(tmp_path / "texts") == before
    assert asr_command(*common, "decoder=greedy", "channel=1", "overwrite=true").code == 0


def test_a_recording_that_failed_is_tried_again_only_when_asked(asr_command, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "broken.wav").write_bytes(b"RIFF0000WAVEnothing")
    soundfile.write(folder / "good.wav", np.zeros(RATE // 2), RATE)
    common = ("transcribe", folder, TINY, f"output_dir={tmp_path / 'texts'}", "cluster=local")
    first = asr_command(*common)
    assert first.code == 1
    assert "broken.wav: " in first.err
    assert "1 of 2 inputs failed" in first.err
    second = asr_command(*common)
    assert second.code == 1
    assert "1 failed in an earlier run (retry_failed=true tries them again)" in second.err
    assert "error: " + str(folder / "broken.wav") not in second.err
    third = asr_command(*common, "retry_failed=true")
    assert "broken.wav: " in third.err
    soundfile.write(folder / "broken.wav", np.zeros(RATE // 2), RATE)
    assert asr_command(*common).code == 0
    assert set(contents(tmp_path / "texts")) == {"broken.txt", "good.txt"}


def test_urls_work_without_ray(asr_command, recordings, tmp_path):
    oracle_module("fsspec")
    plain, texts = tmp_path / "plain", tmp_path / "texts"
    assert asr_command("transcribe", recordings, TINY, f"output_dir={plain}", "format=jsonl").code == 0
    command = ("transcribe", f"file://{recordings}", TINY, f"output_dir=file://{texts}", "format=jsonl")
    outcome = asr_command(*command)
    assert outcome.code == 0, outcome.err
    found = {name: json.loads(text) for name, text in contents(texts).items()}
    wanted = {name: json.loads(text) for name, text in contents(plain).items()}
    assert {name: one["text"] for name, one in found.items()} == {name: one["text"] for name, one in wanted.items()}
    assert "3 were there already" in asr_command(*command).err
    assert asr_command("transcribe", f"file://{recordings}/nothing.wav", TINY).code == 1
    one = asr_command("transcribe", f"file://{recordings}/**/*.opus", TINY)
    assert one.out.count("\n") == 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("s4://bucket/calls", "s4://bucket/calls: cannot be used (Protocol not known: s4)"),
        ("file:///nowhere/calls", "file:///nowhere/calls: there are no files"),
        ("file:///nowhere/calls.jsonl", "a manifest is read from a folder only"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line(asr_command, argument, message):
    oracle_module("fsspec")
    outcome = asr_command("transcribe", argument, TINY)
    assert outcome.code in (1, 2)
    assert message in outcome.err


def test_utterances_that_are_cut_are_those_of_one_process(asr_command, tmp_path):
    rows = [json.loads(line) for line in (SAMPLES / "samples.jsonl").read_text().splitlines()[:3]]
    rows = [row | {"audio_filepath": str(SAMPLES / row["audio_filepath"])} for row in rows]
    rows.append({"audio_filepath": str(tmp_path / "gone.wav"), "text": "gone"})
    manifest = write_rows(tmp_path / "some.jsonl", rows)
    common = ("align", manifest, TINY, "cut_seconds=4")
    plain = asr_command(*common, f"cut_dir={tmp_path / 'plain'}")
    shared = asr_command(*common, f"cut_dir={tmp_path / 'shared'}", "cluster=local", "workers=2")
    assert plain.code == shared.code == 1
    assert "gone: no such file" in shared.err
    assert contents(tmp_path / "shared") == contents(tmp_path / "plain")
    assert len(contents(tmp_path / "plain")) > 3
    # As after a loss of the driver: what was cut is not cut again.
    (tmp_path / "shared" / "manifest.jsonl").unlink()
    again = asr_command(*common, f"cut_dir={tmp_path / 'shared'}", "cluster=local")
    assert "3 recordings were finished by an earlier run" in again.err
    assert contents(tmp_path / "shared") == contents(tmp_path / "plain")
    assert asr_command(*common, "cluster=local").out == asr_command(*common).out


def test_a_corpus_is_examined_as_by_one_process(asr_command, tmp_path):
    rows = [json.loads(line) for line in (SAMPLES / "samples.jsonl").read_text().splitlines()]
    rows = [row | {"audio_filepath": str(SAMPLES / row["audio_filepath"])} for row in rows]
    rows.append({"audio_filepath": "gone.wav", "text": "gone"})
    manifest = write_rows(tmp_path / "some.jsonl", rows)
    plain, shared = asr_command("doctor", manifest), asr_command("doctor", manifest, "cluster=local")
    assert shared.out == plain.out
    assert "gone.wav" in plain.out
    assert (shared.code, plain.code) == (1, 1)


def test_a_report_is_that_of_one_process_but_for_its_speed(asr_command, tmp_path):
    manifest = SAMPLES / "samples.jsonl"
    reports = []
    for name, setting in (("plain", ()), ("shared", ("cluster=local", "workers=2"))):
        folder = tmp_path / name
        systems = ("decoder=beam", "against=[greedy]", "page_audio=false")
        outcome = asr_command("evaluate", manifest, TINY, *systems, f"output_dir={folder}", *setting)
        assert outcome.code == 0, outcome.err
        reports.append(json.loads((folder / "report.json").read_text()))
    plain, shared = reports
    assert len(plain["systems"]) == 2
    for report in reports:
        for system in report["systems"]:
            assert (system["about"].pop("speed", None) is None) == (report is shared)
    assert shared == plain


def test_ray_is_imported_only_when_it_is_asked_for(tmp_path):
    code = f"""
import sys
from asr.cli.main import main
for cluster in ("cluster=local", "cluster=null"):
    assert main(["transcribe", {str(SAMPLES / "422-122949-0004.opus")!r}, "bundle=tiny", cluster]) == 0
assert not {{"ray", "fsspec"}} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_ray_names_the_extra(asr_command, monkeypatch, tmp_path):
    monkeypatch.setattr("asr.packages.is_installed", lambda name: False)
    outcome = asr_command("transcribe", SAMPLES, TINY, "cluster=auto")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("asr: error: cluster=auto needs ray, which is not installed: pip")
    assert "asr[cluster]" in outcome.err


@pytest.mark.parametrize("value", ["yes", "ray://head:10001", "somewhere", "auto:x"])
def test_what_is_no_cluster_is_refused(asr_command, value):
    outcome = asr_command("doctor", SAMPLES / "samples.jsonl", f"cluster={value}")
    assert outcome.code == 2
    assert "cluster must be auto, local, or HOST:PORT" in outcome.err


def test_an_address_where_nothing_answers_is_one_line(asr_command):
    oracle_module("ray")
    outcome = asr_command("transcribe", SAMPLES, TINY, "cluster=127.0.0.1:9")
    assert outcome.code == 2
    assert "cluster=127.0.0.1:9: nothing answers there" in outcome.err
    assert "ray start --head" in outcome.err


def test_segments_and_recordings_elsewhere_are_as_large_as_they_are_long(tmp_path):
    """The file of a segment may be an hour long, and that of a URL is not here."""
    (tmp_path / "a.wav").write_bytes(bytes(5000))
    lines = [
        {"audio_filepath": "a.wav", "offset": 1.0, "duration": 2.5, "text": "a"},
        {"audio_filepath": "s3://bucket/b.wav", "duration": 60.0, "text": "b"},
        {"audio_filepath": "a.wav", "text": "c"},
        {"audio_filepath": "s3://bucket/d.wav", "text": "d"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [size_of(one) for one in read_manifest(manifest, remote=True).utterances] == [80_000, 1_920_000, 5000, 0]
