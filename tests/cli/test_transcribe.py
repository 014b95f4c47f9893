"""What a stranger will do to `asr transcribe`."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr import load_bundle

from ..audio.containers import write_tracks
from ..conftest import RATE, REPOSITORY, SAMPLES, write_rows
from ..test_processes import wait_until

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]
CASES = REPOSITORY.parent / "shared" / "cases"


@pytest.fixture
def bundle(tiny_bundle) -> str:
    return f"bundle={tiny_bundle}"


def test_one_recording_prints_its_text_alone(asr_command, bundle):
    outcome = asr_command("transcribe", SAMPLE, bundle)
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1
    assert "\t" not in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize("workers", [(), ("cluster=local",)])
def test_hot_words_with_capitals_are_written_as_they_are_typed(asr_command, workers):
    punctuated = [SAMPLE, "bundle=tiny", f"punctuation={load_bundle('en').path / 'punctuation.onnx'}", *workers]
    word = max(re.findall("[a-z]+", asr_command("transcribe", *punctuated).out.lower()), key=len)
    typed = f"{word[0]}{word[1:].upper()}"
    outcome = asr_command("transcribe", *punctuated, f"decoder.hotwords=[{typed}]")
    assert typed in outcome.out, outcome.err


def test_a_folder_with_one_broken_file_among_ten(asr_command, bundle, tmp_path):
    for number in range(9):
        shutil.copy(SAMPLE, tmp_path / f"{number}.opus")
    broken = tmp_path / "5a.opus"
    broken.write_bytes(SAMPLE.read_bytes()[:9000])
    outcome = asr_command("transcribe", tmp_path, bundle)
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(tmp_path / f"{number}.opus") for number in range(9)]
    assert len({line.split("\t")[1] for line in lines}) == 1
    assert f"error: {broken}: is truncated" in outcome.err
    assert "1 of 10 inputs failed" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "name", ["a b.wav", "jürgen.wav", "it's.wav", "m (1).wav", "a,b.wav", "x=1.wav", "~x.wav", "-v.wav"]
)
def test_any_file_name_and_output_folder(asr_command, bundle, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    soundfile.write(name, 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)
    outcome = asr_command("transcribe", name, bundle, f"output_dir=out {name}")
    assert outcome.code == 0, outcome.err
    written = tmp_path / f"out {name}" / Path(name).with_suffix(".txt")
    assert written.read_text("utf-8") == asr_command("transcribe", name, bundle).out


def test_files_and_settings_mix_freely(asr_command, bundle):
    outcome = asr_command("transcribe", "format=jsonl", SAMPLE, "decoder=beam", SAMPLE, bundle, "decoder.beam_width=4")
    assert outcome.code == 0
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["audio_filepath"] for row in rows] == [str(SAMPLE)] * 2
    assert rows[0]["words"][0]["end"] > rows[0]["words"][0]["start"] >= 0


def test_stereo_at_48_khz_silence_and_three_minutes(asr_command, bundle, tmp_path, rng):
    speech, _ = soundfile.read(SAMPLE, dtype="float32")
    wide = np.repeat(speech, 3)
    soundfile.write(tmp_path / "1 stereo.wav", np.stack([wide, wide], axis=1), 48000)
    soundfile.write(tmp_path / "2 silence.wav", np.zeros(5 * RATE), RATE)
    soundfile.write(tmp_path / "3 long.wav", np.tile(speech, 24)[: 180 * RATE], RATE)
    outcome = asr_command("transcribe", tmp_path, bundle, "format=json")
    assert outcome.code == 0
    stereo, silence, long = json.loads(outcome.out)
    assert stereo["duration"] == pytest.approx(len(speech) / RATE, abs=0.001)
    assert (silence["text"], silence["words"]) == ("", [])
    assert long["duration"] == pytest.approx(180, abs=0.1)
    assert long["words"][-1]["start"] > 170


def test_a_missing_file_is_named_and_the_rest_goes_on(asr_command, bundle):
    outcome = asr_command("transcribe", "none.wav", SAMPLE, bundle)
    assert outcome.code == 1
    assert outcome.out.startswith(f"{SAMPLE}\t")
    assert "none.wav: no such file" in outcome.err


def test_a_folder_without_recordings_is_an_error(asr_command, bundle, tmp_path):
    outcome = asr_command("transcribe", tmp_path, bundle)
    assert outcome.code == 1
    assert "the folder holds no recordings" in outcome.err


def test_standard_input_is_a_recording(asr_command, bundle, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(SAMPLE.read_bytes())

    expected = asr_command("transcribe", SAMPLE, bundle).out
    monkeypatch.setattr(sys, "stdin", Stdin)
    assert asr_command("transcribe", "-", bundle).out == expected


def test_a_manifest_is_transcribed_into_what_evaluate_reads(asr_command, bundle, tmp_path):
    manifest = SAMPLES / "samples.jsonl"
    outcome = asr_command("transcribe", manifest, bundle, "format=jsonl")
    assert outcome.code == 0
    hypotheses = tmp_path / "h.jsonl"
    hypotheses.write_text(outcome.out)
    joined = asr_command("evaluate", manifest, f"hypotheses={hypotheses}", "worst=0")
    direct = asr_command("evaluate", manifest, bundle, "worst=0")
    assert joined.code == direct.code == 0
    tables = [[line for line in one.out.splitlines() if line.startswith(("words", "char"))] for one in (joined, direct)]
    assert len(tables[0]) == 2
    assert tables[0] == tables[1]


def test_a_folder_of_outputs_is_written_without_leaving_it(asr_command, bundle, tmp_path):
    rows = [{"audio_filepath": str(SAMPLE), "id": "../../out of here"}, {"audio_filepath": str(SAMPLE), "id": "b/c"}]
    manifest = write_rows(tmp_path / "m.jsonl", rows)
    outcome = asr_command("transcribe", manifest, bundle, f"output_dir={tmp_path / 'out'}", "format=json")
    assert outcome.code == 0
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json")}
    assert written == {"out of here.json", "b/c.json"}
    assert "2 transcripts written" in outcome.err


def test_a_file_name_that_is_no_text_is_transcribed(bundle, tmp_path):
    folder = os.fsencode(tmp_path)
    with open(folder + b"/odd\xff.opus", "wb") as file:
        file.write(SAMPLE.read_bytes())
    command = [sys.executable, "-m", "asr", "transcribe", str(tmp_path), bundle]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"odd\xff.opus\t" in done.stdout


def test_raw_samples_without_a_header_are_refused(asr_command, bundle, tmp_path):
    path = tmp_path / "samples.raw"
    path.write_bytes(bytes(range(256)) * 100)
    outcome = asr_command("transcribe", path, bundle)
    assert outcome.code == 1
    assert f"error: {path}: " in outcome.err
    assert "not audio" in outcome.err or "holds no audio stream" in outcome.err


def test_one_channel_can_be_chosen(asr_command, bundle, tmp_path):
    speech, _ = soundfile.read(SAMPLE, dtype="float32")
    path = tmp_path / "two.wav"
    soundfile.write(path, np.stack([np.zeros_like(speech), speech], axis=1), RATE, subtype="FLOAT")
    assert asr_command("transcribe", path, bundle, "channel=1").out == "\n"
    assert asr_command("transcribe", path, bundle, "channel=2").out == asr_command("transcribe", SAMPLE, bundle).out
    outcome = asr_command("transcribe", path, bundle, "channel=3")
    assert (outcome.code, "no channel 3" in outcome.err) == (1, True)


def test_another_audio_track_can_be_chosen_and_several_are_named_once(asr_command, bundle, tmp_path):
    speech, _ = soundfile.read(SAMPLE, dtype="float32")
    path = tmp_path / "film.mka"
    write_tracks(path, [np.zeros_like(speech), speech], RATE, default=0)
    outcome = asr_command("transcribe", path, bundle)
    assert outcome.out == "\n"
    note = f"warning: {path}: 2 audio tracks: track 1 is read, "
    assert [line for line in outcome.err.splitlines() if line.startswith(note)] == outcome.err.splitlines()
    assert len(outcome.err.splitlines()) == 1
    outcome = asr_command("transcribe", path, bundle, "track=2")
    assert outcome.out == asr_command("transcribe", SAMPLE, bundle).out
    assert outcome.err == ""
    outcome = asr_command("transcribe", path, bundle, "track=3")
    assert (outcome.code, "there is no track 3: the recording has 2 audio tracks" in outcome.err) == (1, True)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_words_in_a_film_have_the_times_of_a_player(asr_command):
    outcome = asr_command("transcribe", CASES / "sound-starts-late.mkv", "format=json", "decoder=greedy")
    first = json.loads(outcome.out)["words"][0]
    assert first["start"] == pytest.approx(4.3, abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcibe", "a.wav"], "there is no command 'transcibe'; did you mean `asr transcribe`?"),
        (["transcribe"], "no file is named"),
        (["transcribe", str(SAMPLE), "decodr=beam"], "no setting 'decodr'; did you mean 'decoder'?"),
        (["transcribe", str(SAMPLE), "decoder=bean"], "decoder has no option 'bean'; did you mean 'beam'?"),
        (["transcribe", str(SAMPLE), "format=text"], "format must be one of txt, json, jsonl, srt, vtt"),
        (["transcribe", str(SAMPLE), "bundle=enn"], "enn: no such bundle"),
        (["transcribe", str(SAMPLE), "shard=4/3"], "shard must be part/parts, such as 3/20, not '4/3'"),
        (["transcribe", str(SAMPLE), f"shard=1/{'9' * 5000}"], "shard must be part/parts, such as 3/20, not '1/999"),
        (["transcribe", str(SAMPLE), "shard=0/3"], "shard must be part/parts, such as 3/20, not '0/3'"),
        (["transcribe", str(SAMPLE), f"channel={'9' * 5000}"], "channel must be mix or the number of a channel"),
        (["transcribe", str(SAMPLE), "beside=true", "output_dir=x"], "two places for the same files"),
        (["transcribe", "-", "beside=true"], "there is no place beside standard input"),
        (["transcribe", "-", "files_from=-"], "standard input is either a recording (-) or a list"),
        (["align", str(SAMPLE)], "name a recording and its text, or manifests"),
        (["align", str(SAMPLE), "none.txt"], "none.txt: the text cannot be read"),
        (["transcribe", str(SAMPLE), "--multirun"], "--multirun is for `asr train`"),
        (["transcribe", str(SAMPLE), "--quite"], "did you mean --quiet?"),
        (["info", "nothing"], "nothing: no such bundle"),
        (["info", "x=1"], "asr info takes bundles"),
        (["completion", "tcsh"], "name a shell"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(asr_command, arguments, message):
    outcome = asr_command(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.startswith("asr: error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_a_recording_in_place_of_a_command_is_understood(asr_command):
    assert "did you mean `asr transcribe" in asr_command(str(SAMPLE)).err


def test_help_teaches(asr_command):
    assert asr_command().out == asr_command("--help").out
    for command in ("transcribe", "train", "evaluate"):
        text = asr_command(command, "--help").out
        assert "Examples:" in text
        assert "key=value" in text
    assert "greedy" in text
    assert "decoder.beam_width=" in text
    assert "smoke" in asr_command("train", "--help").out
    assert asr_command("--version").out.startswith("asr 0.")
    assert asr_command("transcribe", "--version").out.startswith("asr 0.")


def test_show_config_shows_what_would_be_used_and_does_nothing(asr_command):
    outcome = asr_command("transcribe", "decoder=beam", "--show-config")
    assert "beam_width: 32" in outcome.out
    outcome = asr_command("train", "experiment=smoke", "--show-config")
    assert "units: 96" in outcome.out


def test_json_messages_are_json_lines(asr_command, bundle):
    outcome = asr_command("transcribe", "none.wav", bundle, "log=json")
    messages = [json.loads(line) for line in outcome.err.splitlines()]
    assert "none.wav: no such file" in messages[0]["message"]
    assert messages[0]["level"] == "error"


def test_quiet_keeps_only_errors(asr_command, bundle, tmp_path):
    assert asr_command("transcribe", SAMPLE, bundle, "-q", f"output_dir={tmp_path}").err == ""


def copies(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        shutil.copy(SAMPLE, folder / f"{number}.opus")
    return folder


def test_a_second_run_skips_what_is_finished(asr_command, bundle, tmp_path):
    recordings, out = copies(tmp_path / "in", 3), tmp_path / "out"
    assert "3 transcripts written" in asr_command("transcribe", recordings, bundle, f"output_dir={out}").err
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.txt")}
    (recordings / "3.opus").write_bytes(SAMPLE.read_bytes())
    outcome = asr_command("transcribe", recordings, bundle, f"output_dir={out}")
    assert "1 transcript written" in outcome.err
    assert "3 were there already" in outcome.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # Other settings are another job.
    outcome = asr_command("transcribe", recordings, bundle, f"output_dir={out}", "decoder=beam")
    assert "4 transcripts written" in outcome.err
    assert "4 transcripts" in asr_command("transcribe", recordings, bundle, f"output_dir={out}", "overwrite=true").err


def test_a_file_that_somebody_else_wrote_is_not_replaced(asr_command, bundle, tmp_path):
    recordings = copies(tmp_path / "in", 2)
    (recordings / "1.txt").write_text("what was really said")
    outcome = asr_command("transcribe", recordings, bundle, "beside=true")
    assert outcome.code == 1
    assert (
        f"{recordings / '1.txt'}: was not written by asr, or changed since; overwrite=true replaces it" in outcome.err
    )
    assert (recordings / "1.txt").read_text() == "what was really said"
    assert (recordings / "0.txt").read_text() == asr_command("transcribe", SAMPLE, bundle).out
    assert asr_command("transcribe", recordings, bundle, "beside=true", "overwrite=true").code == 0
    assert (recordings / "1.txt").read_text() == (recordings / "0.txt").read_text()


def test_shards_are_the_whole_and_share_nothing(asr_command, bundle, tmp_path):
    recordings, out = copies(tmp_path / "in", 5), tmp_path / "out"
    shutil.copy(SAMPLE, recordings / "0.ogg")
    seen = set()
    for part in (1, 2, 3):
        assert asr_command("transcribe", recordings, bundle, f"output_dir={out}", f"shard={part}/3").code == 0
        now = {path.name for path in out.glob("*.txt")}
        assert len(now - seen) == 2
        seen |= now
    assert seen == {"0.opus.txt", "0.ogg.txt", "1.txt", "2.txt", "3.txt", "4.txt"}
    assert "0 transcripts written" in asr_command("transcribe", recordings, bundle, f"output_dir={out}").err


def test_patterns_and_lists_name_recordings(asr_command, bundle, tmp_path, monkeypatch):
    recordings = copies(tmp_path / "in", 2)
    deep = recordings / "a" / "b"
    deep.mkdir(parents=True)
    shutil.copy(SAMPLE, deep / "2.opus")
    names = [str(deep / "2.opus"), str(recordings / "0.opus"), str(recordings / "1.opus")]
    outcome = asr_command("transcribe", f"{recordings}/**/*.opus", bundle)
    assert sorted(line.split("\t")[0] for line in outcome.out.splitlines()) == sorted(names)
    for separator, encoding in (("\n", "utf-8"), ("\0", "utf-8"), ("\r\n", "utf-8-sig")):
        listed = tmp_path / "list"
        listed.write_text(separator.join(names) + separator, encoding, newline="")
        outcome = asr_command("transcribe", f"files_from={listed}", bundle)
        assert [line.split("\t")[0] for line in outcome.out.splitlines()] == names

    class Stdin:
        buffer = io.BytesIO("\n".join(names).encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert len(asr_command("transcribe", "files_from=-", bundle).out.splitlines()) == 3
    assert "no file matches the pattern" in asr_command("transcribe", f"{tmp_path}/*.xyz", bundle).err
    assert asr_command("transcribe", "files_from=nothing", bundle).code == 2
    for encoding in ("utf-16", "utf-16-le"):
        listed.write_text("\n".join(names), encoding)
        outcome = asr_command("transcribe", f"files_from={listed}", bundle)
        assert outcome.code == 2
        assert "UTF-16 text: save it as UTF-8" in outcome.err


def test_one_document_a_recording_wants_a_place_for_many(asr_command, bundle, tmp_path):
    assert "-->" in asr_command("transcribe", SAMPLE, bundle, "format=srt").out
    outcome = asr_command("transcribe", SAMPLE, SAMPLE, bundle, "format=srt")
    assert outcome.code == 2
    assert "format=srt is one document per recording, and there are 2" in outcome.err
    recordings = copies(tmp_path / "in", 2)
    assert asr_command("transcribe", recordings, bundle, "format=textgrid", "beside=true").code == 0
    assert (recordings / "0.TextGrid").is_file()


def test_doubtful_words_are_marked_if_confidences_are_known(asr_command, bundle):
    assert "asr tune" in asr_command("transcribe", SAMPLE, bundle, "mark_below=0.5").err
    words = asr_command("transcribe", SAMPLE, "mark_below=0.8").out.split()
    assert any(word.startswith("[") and "?]" in word for word in words)
    assert not all(word.startswith("[") for word in words)


def test_a_full_disk_costs_the_transcripts_it_has_no_room_for(asr_command, bundle, tmp_path, monkeypatch):
    import asr.recognition.finished as journal

    honest = journal.write_atomically

    def full(path, content):
        if path.name == "1.txt":
            raise OSError(28, "No space left on device")
        honest(path, content)

    monkeypatch.setattr(journal, "write_atomically", full)
    recordings, out = copies(tmp_path / "in", 3), tmp_path / "out"
    outcome = asr_command("transcribe", recordings, bundle, f"output_dir={out}")
    assert outcome.code == 1
    assert f"{out / '1.txt'}: cannot be written (No space left on device)" in outcome.err
    assert sorted(path.name for path in out.glob("*.txt")) == ["0.txt", "2.txt"]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_the_text_does_not_depend_on_workers(asr_command, bundle, tmp_path, workers, decoder):
    speech, _ = soundfile.read(SAMPLE, dtype="float32")
    soundfile.write(tmp_path / "long.flac", np.tile(speech, 12), RATE)
    shutil.copytree(SAMPLES, tmp_path / "samples")
    arguments = ("transcribe", tmp_path, bundle, "format=jsonl", f"decoder={decoder}")
    assert asr_command(*arguments, f"workers={workers}").out == asr_command(*arguments, "workers=2").out


def test_a_killed_run_leaves_whole_transcripts_and_the_next_one_finishes_it(asr_command, bundle, tmp_path):
    recordings, out = copies(tmp_path / "in", 60), tmp_path / "out"
    command = [sys.executable, "-m", "asr", "transcribe", str(recordings), bundle, f"output_dir={out}"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("*.txt"))) < 5:
        time.sleep(0.005)
    process.kill()
    process.wait()
    expected = asr_command("transcribe", SAMPLE, bundle).out
    done = list(out.glob("*.txt"))
    assert 5 <= len(done) < 60
    assert {path.read_text() for path in done} == {expected}
    outcome = asr_command("transcribe", recordings, bundle, f"output_dir={out}")
    assert outcome.code == 0
    assert f"{len(done)} were there already" in outcome.err
    assert [path.read_text() for path in out.glob("*.txt")] == [expected] * 60


def test_a_folder_that_cannot_be_written_to_is_named(asr_command, bundle, tmp_path, monkeypatch):
    def refuse(**options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{tmp_path}/out/tmp2ucmyxzi")

    monkeypatch.setattr("asr.cli.transcribe.tempfile.TemporaryFile", refuse)
    outcome = asr_command("transcribe", SAMPLE, bundle, f"output_dir={tmp_path / 'out'}")
    assert (outcome.code, outcome.err) == (1, f"asr: error: {tmp_path / 'out'}: Read-only file system\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_nothing_behind(bundle, tmp_path, number, code):
    speech, _ = soundfile.read(SAMPLE, dtype="float32")
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as file:
        for _ in range(2000):
            file.write(speech)
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    recordings = (str(SAMPLE), str(tmp_path / "long.flac"))
    # What a shell starts in the background, these tests perhaps, ignores Ctrl-C, and so would their children.
    code_lines = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code_lines += "from asr.cli.main import entry_point; entry_point()"
    process = subprocess.Popen(
        [sys.executable, "-c", code_lines, "transcribe", *recordings, bundle, f"output_dir={out}"],
        cwd=REPOSITORY, env=os.environ | {"TMPDIR": str(scratch)}, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not list(out.glob("*.txt")):
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert list(scratch.glob("asr-*")) == []
    assert [path.name for path in out.glob("*.txt")] == [SAMPLE.with_suffix(".txt").name]
    wait_until(lambda: not members(process.pid))


def members(session: int) -> list[str]:
    """The processes of a session that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, owner = stat.read_text().rpartition(")")[2].split()[:4]
            found += [stat.parent.name] if int(owner) == session and state != "Z" else []
    return found


def test_a_folder_that_cannot_be_written_is_named(asr_command, bundle, tmp_path):
    (tmp_path / "file").touch()
    outcome = asr_command("transcribe", SAMPLE, bundle, f"output_dir={tmp_path / 'file' / 'sub'}")
    assert outcome.code == 1
    assert str(tmp_path / "file") in outcome.err
    assert "Traceback" not in outcome.err


def test_nothing_is_left_in_the_working_directory(asr_command, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asr_command("transcribe", SAMPLE, bundle)
    asr_command("evaluate", SAMPLES / "samples.jsonl", bundle)
    asr_command("transcribe", "--help")
    assert os.listdir(tmp_path) == []


def test_info_describes_a_bundle(asr_command, tiny_bundle):
    outcome = asr_command("info", tiny_bundle)
    assert outcome.code == 0
    assert "depth=1" in outcome.out
    assert "alphabet" in outcome.out


def test_info_names_error_rates_in_percent_and_fits_a_screen(asr_command):
    outcome = asr_command("info", "en")
    assert re.search(r"dev-clean-heldout, greedy: WER \d+\.\d % \(\d+\.\d to \d+\.\d %\), CER \d+\.\d %", outcome.out)
    assert max(map(len, outcome.out.splitlines()[1:])) <= 120
    assert "None" not in outcome.out
