"""What a user may name as an input, and how it is named: files, folders, patterns, manifests, streams."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.load import load_audio

from ..conftest import RATE, REPOSITORY, SAMPLES, write_rows

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]
CASES = REPOSITORY.parent / "shared" / "cases"


@pytest.fixture
def bundle() -> str:
    return "bundle=tiny"  # ships, and is loaded without Keras


@pytest.fixture
def segments(tmp_path) -> Path:
    """A manifest of three segments of one recording, and of the same as files of their own."""
    samples = load_audio(SAMPLE, sample_rate=RATE)
    soundfile.write(tmp_path / "talk.wav", samples, RATE, subtype="FLOAT")
    rows, cut = [], []
    for number, (offset, duration) in enumerate([(0.5, 1.5), (0, 2.25), (2.0, 2.0)]):
        words = {"text": "some words", "speaker": f"s{number}"}
        rows.append({"audio_filepath": "talk.wav", "offset": offset, "duration": duration, **words})
        cut.append({"audio_filepath": f"{number}.wav", "duration": duration, **words})
        part = samples[round(offset * RATE) : round((offset + duration) * RATE)]
        soundfile.write(tmp_path / f"{number}.wav", part, RATE, subtype="FLOAT")
    write_rows(tmp_path / "cut.jsonl", cut)
    return write_rows(tmp_path / "segments.jsonl", rows)


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_segments_are_transcribed_as_files_cut_from_the_recording(asr_command, bundle, segments):
    outcome = asr_command("transcribe", segments, bundle, "format=jsonl")
    assert outcome.code == 0, outcome.err
    rows = json_lines(outcome.out)
    whole = json_lines(asr_command("transcribe", segments.with_name("cut.jsonl"), bundle, "format=jsonl").out)
    for row, cut in zip(rows, whole, strict=True):
        assert [row[key] for key in ("text", "duration", "words")] == [
            cut[key] for key in ("text", "duration", "words")
        ]
    assert [(row["id"], row["audio_filepath"], row["offset"]) for row in rows] == [
        (name, str(segments.with_name("talk.wav")), offset)
        for name, offset in (("talk@0.5", 0.5), ("talk", 0), ("talk@2", 2.0))
    ]
    text = asr_command("transcribe", segments, bundle).out.splitlines()
    assert text[0].split("\t") == [f"{segments.with_name('talk.wav')} (0.5 to 2 s)", rows[0]["text"]]


def test_segments_have_outputs_of_their_own_and_another_segment_is_another_source(
    asr_command, bundle, segments, tmp_path
):
    for where in (f"output_dir={tmp_path / 'out'}", "beside=true"):
        assert asr_command("transcribe", segments, bundle, where).code == 0
    written = {"talk.txt", "talk@0.5.txt", "talk@2.txt"}
    assert {path.name for path in (tmp_path / "out").glob("*.txt")} == written
    assert {path.name for path in tmp_path.glob("*.txt")} == written
    rows = json_lines(segments.read_text())
    for row, name in zip(rows, ("a", "b", "c"), strict=True):
        row["id"] = name
    write_rows(segments, rows)
    command = ("transcribe", segments, bundle, f"output_dir={tmp_path / 'named'}", "format=json")
    assert "3 transcripts written" in asr_command(*command).err
    assert "0 transcripts written" in asr_command(*command).err
    rows[1]["offset"] = 1.0
    write_rows(segments, rows)
    assert "1 transcript written" in asr_command(*command).err
    assert json.loads((tmp_path / "named" / "b.json").read_text())["offset"] == 1.0


def test_segments_are_evaluated_as_files_cut_from_the_recording(asr_command, bundle, segments, tmp_path):
    reports = []
    for name in ("segments", "cut"):
        arguments = [f"output_dir={tmp_path / name}", "decoder=greedy", "embed_megabytes=0"]
        assert asr_command("evaluate", segments.with_name(f"{name}.jsonl"), bundle, *arguments).code == 0
        reports.append(json.loads((tmp_path / name / "report.json").read_text()))
    ours, cut = ([one["systems"][0] for one in report["utterances"]] for report in reports)
    assert ours == cut
    assert [one["id"] for one in reports[0]["utterances"]] == ["talk@0.5", "talk", "talk@2"]
    sounds = sorted((tmp_path / "segments" / "report_files").glob("*.og*"))
    assert [soundfile.info(one).duration for one in sounds] == pytest.approx([1.5, 2.25, 2.0], abs=0.03)
    hypotheses = asr_command("transcribe", segments, bundle, "format=jsonl", "decoder=greedy").out
    (tmp_path / "h.jsonl").write_text(hypotheses)
    joined = asr_command("evaluate", segments, f"hypotheses={tmp_path / 'h.jsonl'}", "worst=0")
    assert joined.code == 0, joined.err


def test_segments_are_aligned_and_cut(asr_command, bundle, segments, tmp_path):
    rows = json_lines(asr_command("align", segments, bundle, "format=jsonl").out)
    cut = json_lines(asr_command("align", segments.with_name("cut.jsonl"), bundle, "format=jsonl").out)
    assert [row["words"] for row in rows] == [row["words"] for row in cut]
    assert [row["offset"] for row in rows] == [0.5, 0, 2.0]
    outcome = asr_command("align", segments, bundle, f"cut_dir={tmp_path / 'parts'}")
    assert outcome.code == 0, outcome.err
    made = json_lines((tmp_path / "parts" / "manifest.jsonl").read_text())
    samples, _ = soundfile.read(tmp_path / "talk.wav", dtype="float32")
    for row in made:
        assert row["recording"] == str(tmp_path / "talk.wav")
        part, _ = soundfile.read(tmp_path / "parts" / row["audio_filepath"], dtype="float32")
        start = round(row["start"] * RATE)
        np.testing.assert_allclose(part, samples[start : start + len(part)], atol=1e-3)


def test_segments_are_examined(asr_command, segments, tmp_path):
    outcome = asr_command("doctor", segments, f"output_dir={tmp_path / 'checkup'}", "training=overfit")
    assert outcome.code == 0, outcome.out + outcome.err
    report = json.loads((tmp_path / "checkup" / "report.json").read_text())
    assert (report["parts"][0]["hours"], report["faults"]) == (0.0016, {})


def test_segments_of_one_recording_are_tuned_on(asr_command, bundle, segments):
    outcome = asr_command("tune", segments, bundle, "decoder=greedy")
    assert outcome.code == 0, outcome.err


def test_a_segment_that_reaches_past_the_end_costs_itself(asr_command, bundle, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(2 * RATE), RATE)
    rows = [{"audio_filepath": "a.wav", "offset": offset, "duration": 1, "text": ""} for offset in (0.5, 1.5, 3)]
    manifest = write_rows(tmp_path / "m.jsonl", rows)
    outcome = asr_command("transcribe", manifest, bundle)
    assert (outcome.code, outcome.out.count("\n")) == (1, 1)
    for span in ("1.5 to 2.5 s", "3 to 4 s"):
        assert (
            f"error: {tmp_path / 'a.wav'} ({span}): the segment {span} is not within the recording, which has 2 s"
            in outcome.err
        )


def test_an_odd_line_of_a_manifest_costs_itself(asr_command, bundle, tmp_path):
    shutil.copy(SAMPLE, tmp_path / "a.opus")
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(
        '{"audio_filepath": "a.opus", "id": "a\\u0000b", "text": "a"}\n'
        '{"audio_filepath": "a\\u0000b.wav", "text": "a"}\n'
        '{"audio_filepath": "a.opus", "text": "half \\ud83d"}\n'
        '{"audio_filepath": "~nobody/a.opus", "text": "a"}\n'
        "not JSON\n"
        '{"audio_filepath": "a.opus", "text": "a"}\n'
    )
    for arguments in (["transcribe"], ["transcribe", f"output_dir={tmp_path / 'out'}"], ["align", "format=jsonl"]):
        outcome = asr_command(*arguments, manifest, bundle)
        assert outcome.code == 1
        for line in (1, 2, 3, 5):
            assert f"error: {manifest}:{line}: " in outcome.err
        assert "~nobody/a" in outcome.err
        assert "Traceback" not in outcome.err
    assert outcome.out.count("\n") == 1
    assert (tmp_path / "out" / "a.txt").exists()
    for command in ("evaluate", "tune", "doctor"):
        refused = asr_command(command, manifest, *([] if command == "doctor" else [bundle]))
        assert refused.code in (1, 2)
        assert f"{manifest.name}:3" in refused.out + refused.err
        assert "Traceback" not in refused.err


def test_a_name_longer_than_a_file_system_allows_is_a_recording_that_is_not_there(asr_command, bundle, tmp_path):
    long = 300 * "n" + ".wav"
    (tmp_path / "list.txt").write_text(f"{long}\n{SAMPLE}\n")
    outcome = asr_command("transcribe", bundle, f"files_from={tmp_path / 'list.txt'}")
    assert (outcome.code, outcome.out.count("\n")) == (1, 1)
    assert f"error: {long}: no such file" in outcome.err


def test_what_a_folder_holds_besides_is_counted(asr_command, bundle, tmp_path):
    shutil.copy(SAMPLE, tmp_path / "a.opus")
    for name in ("a.txt", "b.txt", "c.pdf", "._a.opus"):
        (tmp_path / name).write_text("x")
    outcome = asr_command("transcribe", tmp_path, bundle, "format=jsonl")
    assert (outcome.code, outcome.err) == (0, "3 files skipped (2 .txt, 1 .pdf)\n")
    assert len(json_lines(outcome.out)) == 1


def test_linked_folders_are_followed_once_by_name_and_by_pattern(asr_command, bundle, tmp_path):
    for folder in ("top", "elsewhere"):
        (tmp_path / folder).mkdir()
        shutil.copy(SAMPLE, tmp_path / folder / f"{folder}.opus")
    for link in ("one", "two"):
        (tmp_path / "top" / link).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "top" / "circle").symlink_to(tmp_path / "top")
    for name in (tmp_path / "top", f"{tmp_path}/top/**/*.opus"):
        outcome = asr_command("transcribe", name, bundle, "format=jsonl")
        assert outcome.code == 0, outcome.err
        found = [Path(row["audio_filepath"]).relative_to(tmp_path / "top") for row in json_lines(outcome.out)]
        assert found == [Path("one/elsewhere.opus"), Path("top.opus")]


def test_addresses_get_a_sentence_that_says_what_to_do(asr_command, bundle):
    outcome = asr_command("transcribe", "https://example.org/a.mp3?x=1", "rtsp://camera/b.wav", bundle)
    assert outcome.code == 1
    for address in ("https://example.org/a.mp3?x=1", "rtsp://camera/b.wav"):
        assert f"error: {address}: is an address, and only files are read: download it" in outcome.err


@pytest.mark.parametrize("setting", ["timeout", "max_hours"])
@pytest.mark.parametrize("value", ["inf", "1e10", "nan", "-inf", "0", "-1"])
def test_limits_that_are_none_are_refused_with_their_bounds(asr_command, setting, value):
    for files in (["transcribe", SAMPLE], ["align", SAMPLE, SAMPLE]):
        outcome = asr_command(*files, f"{setting}={value}")
        assert outcome.code == 2
        assert outcome.err.startswith(f"asr: error: {setting} must be above 0 and at most ")
        assert outcome.err.count("\n") == 1


def shell(command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What a shell makes of `asr ...`."""
    script = f'asr() {{ "{sys.executable}" -m asr "$@"; }}\n{command}'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("asr --help >&-", 1, "asr: error: standard output: Bad file descriptor"),
        ("asr --help >/dev/full", 1, "asr: error: standard output: No space left on device"),
        ("asr lm --help >&- <&-", 1, "asr: error: standard output: Bad file descriptor"),
        ("COLUMNS=40 asr train --help >&-", 1, "asr: error: standard output: Bad file descriptor"),
        ("COLUMNS=40 asr train --help >/dev/full", 1, "asr: error: standard output: No space left on device"),
        ("asr nothing 2>&-", 2, None),
        ("asr nothing 2>/dev/full", 2, None),
        ("(asr --help; echo $? >&2) | true", 0, "1"),
        ("asr transcribe files_from=- <&-", 2, "asr: error: files_from=-: cannot be read (Bad file descriptor)"),
    ],
)
def test_a_closed_or_full_stream_is_one_line_and_an_exit_code(tmp_path, command, code, message):
    if "| true" in command:
        command = command.replace("asr --help", "sleep 0.5; asr --help")
    done = shell(command, tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines() == ([message] if message else [])


def test_a_closed_standard_input_is_no_recording(bundle, tmp_path):
    done = shell(f"asr transcribe - {bundle} <&-", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: standard input: cannot be read (Bad file descriptor)\n"


def test_files_do_not_take_the_numbers_of_closed_streams(asr_command, bundle, tmp_path):
    expected = asr_command("transcribe", SAMPLE, bundle).out
    done = shell(f"asr transcribe '{SAMPLE}' {bundle} output_dir=out <&- >&- 2>&-", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out" / f"{SAMPLE.stem}.txt").read_text() == expected


def test_a_pipe_of_the_shell_is_a_recording(asr_command, bundle, tmp_path):
    expected = asr_command("transcribe", SAMPLE, bundle).out
    done = shell(f"asr transcribe <(cat '{SAMPLE}') {bundle}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    beside = shell(f"asr transcribe <(cat '{SAMPLE}') {bundle} beside=true", tmp_path)
    assert beside.returncode == 2
    assert "there is no place beside a stream" in beside.stderr


def test_a_pipe_can_be_aligned(asr_command, bundle, tmp_path):
    (tmp_path / "text.txt").write_text("some words")
    expected = json.loads(asr_command("align", SAMPLE, tmp_path / "text.txt", bundle).out)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"cat '{SAMPLE}' > '{pipe}'"]):
        found = json.loads(asr_command("align", pipe, tmp_path / "text.txt", bundle).out)
    assert found | {"audio_filepath": ""} == expected | {"audio_filepath": ""}


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not part of the repository")
@pytest.mark.parametrize(
    ("case", "code", "lines"),
    [("offset-segments.jsonl", 0, 2), ("tilde-name.jsonl", 1, 1), ("half-an-emoji.jsonl", 1, 0)],
)
def test_the_cases_are_transcribed_as_expected(asr_command, bundle, case, code, lines):
    outcome = asr_command("transcribe", CASES / case, bundle, "format=jsonl")
    assert (outcome.code, outcome.out.count("\n")) == (code, lines)
    assert code == 0 or outcome.err.count("error: ") == 1 + (lines > 0)


def test_a_folder_named_with_a_tilde_is_taken_literally(asr_command, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = asr_command("transcribe", SAMPLE, bundle, "output_dir=~drafts")
    assert (outcome.code, [one.name for one in tmp_path.glob("~drafts/*.txt")]) == (0, [f"{SAMPLE.stem}.txt"])


@pytest.mark.parametrize(
    "setting", ["decoder.lm=~x.lm", "decoder.hotwords_file=~x.txt", "decoder.lexicon=~x.txt", "bundle=~x/best"]
)
def test_a_missing_file_named_with_a_tilde_is_one_line(asr_command, setting):
    chosen = [] if setting.startswith("bundle") else ["bundle=tiny", "decoder=beam"]
    outcome = asr_command("transcribe", SAMPLE, *chosen, setting)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith("asr: error: ~x")
