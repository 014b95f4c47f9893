"""Corrected recordings: what is stored, that nothing is lost, and `/v1/corrections`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from asr.cli.arguments import split_arguments
from asr.corpus.manifest import read_manifest
from asr.errors import ManifestError, OutputError
from asr.recognition.aligner import Cut
from asr.serving.corrections import Correction, Corrections
from asr.text.transcript import Word

from ..conftest import RATE, REPOSITORY, SAMPLES
from .running import SAMPLE, RunningServer, form, running
from .test_openai_api import wave_file
from .test_server import children_of

TEXT = "he honours whatever he recognises in himself such morality equals self glorification"


@pytest.fixture
def corrections(tmp_path):
    return Corrections(tmp_path / "data", "en")


def correction(text: str = "good morning", *, name: str = "talk.wav", seconds: float = 3.0, **other) -> Correction:
    return Correction(name=name, text=text, recognised="could mourning", model="en", duration=seconds, **other)


def recording(folder: Path, content: str) -> Path:
    path = folder / f"upload-{content}"
    path.write_text(content)
    return path


def rows(folder: Path, name: str) -> list[dict]:
    path = folder / "data" / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_correction_is_audio_and_a_line_of_a_manifest(corrections, tmp_path):
    saved = corrections.add(recording(tmp_path, "sound"), correction(speaker="anna"))
    (stored,) = (tmp_path / "data" / "recordings").iterdir()
    assert stored.read_text() == "sound"
    assert stored.name.startswith("talk-")
    assert stored.suffix == ".wav"
    (line,) = rows(tmp_path, "corrections.jsonl")
    assert (line["recognised"], line["model"], line["id"]) == ("could mourning", "en", saved.id)
    (utterance,) = read_manifest(tmp_path / "data" / "train.jsonl").utterances
    assert (utterance.id, utterance.text, utterance.duration) == (saved.id, "good morning", 3.0)
    assert utterance.speaker == "anna"
    assert utterance.audio_path.samefile(stored)
    assert saved.manifest == "train.jsonl"


def test_the_last_correction_of_a_recording_counts_and_the_others_are_kept(corrections, tmp_path):
    sound = recording(tmp_path, "sound")
    first = corrections.add(sound, correction("good mourning"))
    second = corrections.add(sound, correction("good morning", name="the same under another name.flac"))
    assert len(list((tmp_path / "data" / "recordings").iterdir())) == 1
    assert [one["text"] for one in rows(tmp_path, "corrections.jsonl")] == ["good mourning", "good morning"]
    assert [one["text"] for one in rows(tmp_path, "train.jsonl")] == ["good morning"]
    assert first.id != second.id
    assert len(read_manifest(tmp_path / "data" / "corrections.jsonl").utterances) == 2


def test_every_fifth_recording_is_for_the_test_and_stays_there(corrections, tmp_path):
    sounds = [recording(tmp_path, str(number)) for number in range(11)]
    for number, sound in enumerate(sounds):
        saved = corrections.add(sound, correction(f"number {number}"))
        assert saved.manifest == ("test.jsonl" if number in (4, 9) else "train.jsonl")
    corrections.add(sounds[4], correction("again"))
    assert [one["text"] for one in rows(tmp_path, "test.jsonl")] == ["again", "number 9"]
    names = {name: {one["audio_filepath"] for one in rows(tmp_path, f"{name}.jsonl")} for name in ("train", "test")}
    assert not names["train"] & names["test"]
    assert len(names["train"]) == 9
    summary = corrections.summary()
    assert (summary.recordings, summary.train, summary.test, summary.seconds) == (11, 9, 2, 33)


def test_a_long_recording_is_several_utterances(corrections, tmp_path):
    cuts = [Cut(0.0, 15.5, (Word("one", 0.2, 15.3, 0.5),), "one"), Cut(15.5, 30.0, (Word("two", 16, 29, 0.5),), "two")]
    corrections.add(recording(tmp_path, "sound"), correction("one two", seconds=31.0, utterances=cuts))
    utterances = read_manifest(tmp_path / "data" / "train.jsonl").utterances
    assert [(one.offset or 0.0, one.duration, one.text) for one in utterances] == [
        (0, 15.5, "one"),
        (15.5, 14.5, "two"),
    ]


def test_a_long_recording_that_could_not_be_cut_is_kept_and_not_trained_on(corrections, tmp_path):
    saved = corrections.add(recording(tmp_path, "sound"), correction(seconds=31.0))
    assert saved.manifest is None
    assert len(rows(tmp_path, "corrections.jsonl")) == 1
    assert rows(tmp_path, "train.jsonl") == []
    assert corrections.summary().train == 0


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("../../etc/passwd.wav", "passwd", ".wav"),
        ("a b'c$(d).MP3", "a-b-c-d", ".mp3"),
        ("Größe.ogg", "Groe", ".ogg"),
        ("Ünïcode.ogg", "Unicode", ".ogg"),
        ("漢字.wav", "recording", ".wav"),
        (".wav", "wav", ""),
        ("x" * 300 + ".wav", "x" * 60, ".wav"),
        ("no suffix", "no-suffix", ""),
        ("odd.w/av", "av", ""),
        ("-rf.wav", "rf", ".wav"),
    ],
)
def test_names_of_files_are_plain(corrections, tmp_path, name, stem, suffix):
    corrections.add(recording(tmp_path, "sound"), correction(name=name))
    (stored,) = (tmp_path / "data" / "recordings").iterdir()
    digest = stored.name.removesuffix(suffix)[-16:]
    assert set(digest) <= set("0123456789abcdef")
    assert stored.name == f"{stem}-{digest}{suffix}"


def test_a_file_that_is_there_is_not_written_over(corrections, tmp_path):
    sound = recording(tmp_path, "sound")
    corrections.add(sound, correction())
    (stored,) = (tmp_path / "data" / "recordings").iterdir()
    stored.write_text("damaged")
    corrections.add(sound, correction())
    assert stored.read_text() == "damaged"
    assert sorted(one.read_text() for one in stored.parent.iterdir()) == ["damaged", "sound"]


def test_a_manifest_that_was_edited_is_left_alone_and_the_correction_is_kept(corrections, tmp_path):
    corrections.add(recording(tmp_path, "1"), correction("one"))
    train = tmp_path / "data" / "train.jsonl"
    train.write_text(edited := train.read_text().replace("one", "by hand"))
    with pytest.raises(OutputError, match=r"changed since; rename it, and save again"):
        corrections.add(recording(tmp_path, "2"), correction("two"))
    assert train.read_text() == edited
    assert [one["text"] for one in rows(tmp_path, "corrections.jsonl")] == ["one", "two"]
    train.rename(train.with_name("mine.jsonl"))
    corrections.add(recording(tmp_path, "3"), correction("three"))
    assert [one["text"] for one in rows(tmp_path, "train.jsonl")] == ["one", "two", "three"]


def test_a_line_that_was_edited_in_the_log_is_taken_as_it_is(corrections, tmp_path):
    corrections.add(recording(tmp_path, "1"), correction("one"))
    log = tmp_path / "data" / "corrections.jsonl"
    log.write_text(log.read_text().replace('"one"', '"by hand"').rstrip("\n"))  # an editor may leave no line feed
    corrections.add(recording(tmp_path, "2"), correction("two"))
    assert [one["text"] for one in rows(tmp_path, "train.jsonl")] == ["by hand", "two"]


def test_a_log_with_a_broken_line_is_refused_before_anything_is_stored(corrections, tmp_path):
    corrections.add(recording(tmp_path, "1"), correction("one"))
    log = tmp_path / "data" / "corrections.jsonl"
    log.write_text(broken := log.read_text() + "{\n")
    with pytest.raises(ManifestError, match=r"corrections\.jsonl:2"):
        corrections.add(recording(tmp_path, "2"), correction("two"))
    assert log.read_text() == broken
    assert len(list((tmp_path / "data" / "recordings").iterdir())) == 1


def test_corrections_that_come_at_once_are_all_there(tmp_path):
    sounds = [recording(tmp_path, str(number)) for number in range(20)]

    def save(sound: Path) -> None:
        Corrections(tmp_path / "data", "en").add(sound, correction(sound.name))

    threads = [threading.Thread(target=save, args=(sound,)) for sound in sounds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one["text"] for one in rows(tmp_path, "corrections.jsonl")} == {one.name for one in sounds}
    assert len(rows(tmp_path, "train.jsonl")) + len(rows(tmp_path, "test.jsonl")) == 20
    assert len(rows(tmp_path, "test.jsonl")) == 4


def test_the_commands_hold_in_any_folder_and_in_a_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = Corrections(Path("my data"), "./runs/a, b").summary()
    train, evaluate = shlex.split(summary.train_command), shlex.split(summary.evaluate_command)
    assert train[:4] == ["asr", "train", "experiment=finetune", f"init={tmp_path / 'runs/a, b'}"]
    assert f"data.train={tmp_path / 'my data/train.jsonl'}" in train
    assert evaluate[:4] == ["asr", "evaluate", f"{tmp_path / 'my data/test.jsonl'}", "bundle=runs/corrected/best"]
    split_arguments(evaluate[2:])


def test_the_commands_are_those_of_the_tutorial(tmp_path):
    page = (REPOSITORY / "docs" / "correct-and-learn.md").read_text("utf-8")
    summary = Corrections(tmp_path / "corrections", "en").summary()
    for command in (summary.train_command, summary.evaluate_command):
        wanted = [word.replace(f"{tmp_path}/", "") for word in shlex.split(command)]
        lines = [line for line in page.splitlines() if line.startswith(" ".join(wanted[:2]))]
        assert [shlex.split(line) for line in lines] == [wanted]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrections")
    with running(folder, f"data_dir={folder / 'data'}") as server:
        server.folder = folder
        yield server


def save(server, file, **fields):
    body, kind = form(file, list(fields.items()))
    return server.request("POST", "/v1/corrections", body, {"Content-Type": kind})


def test_a_saved_correction_is_aligned_and_counted(server):
    answer = save(server, SAMPLE, text=TEXT, name=SAMPLE.name, recognised="he honours")
    assert answer.status == 201
    saved = answer.json
    assert saved["problem"] is None
    assert [one["word"] for one in saved["words"]] == TEXT.split()
    starts = [one["start"] for one in saved["words"]]
    assert starts == sorted(starts)
    assert 0 < starts[0] < starts[-1] < saved["duration"]
    assert saved["summary"] == server.get("/v1/corrections").json
    (line,) = [one for one in rows(server.folder, "train.jsonl") if one["id"] == saved["id"]]
    assert line["text"] == TEXT
    assert (server.folder / "data" / line["audio_filepath"]).read_bytes() == SAMPLE.read_bytes()
    assert list(server.uploads.glob("*/*")) == list(server.uploads.glob("*/lock"))


def test_a_long_recording_is_cut_where_its_text_is_aligned(server):
    from asr.audio.load import load_audio

    sentences = [json.loads(line) for line in (SAMPLES / "samples.jsonl").read_text().splitlines()]
    sound = np.concatenate([load_audio(SAMPLES / one["audio_filepath"], sample_rate=RATE) for one in sentences])
    assert len(sound) > 30 * RATE
    text = " ".join(one["text"] for one in sentences)
    answer = save(server, wave_file((32767 * sound).astype(np.int16)), text=text, name="long.wav").json
    assert answer["utterances"] > 1
    lines = [one for name in ("train", "test") for one in rows(server.folder, f"{name}.jsonl") if "long" in one["id"]]
    assert len(lines) == answer["utterances"]
    assert " ".join(one["text"] for one in lines) == " ".join(text.split())
    assert all(one["duration"] <= 20 for one in lines)


@pytest.mark.parametrize(
    ("file", "fields", "status", "said"),
    [
        (SAMPLE, {}, 400, "`text` is empty"),
        (SAMPLE, {"text": "  "}, 400, "`text` is empty"),
        (SAMPLE, {"text": "in room 21 for 5"}, 400, "cannot learn from them: 21, 5"),
        (SAMPLE, {"text": "a", "txt": "b"}, 400, "Unrecognized request argument supplied: txt"),
        (None, {"text": "a"}, 400, "no field `file`"),
        (b"no sound", {"text": "a"}, 400, "The recording cannot be read"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(server, file, fields, status, said):
    before = rows(server.folder, "corrections.jsonl")
    answer = save(server, file, **fields)
    assert (answer.status, said in answer.error["message"]) == (status, True), answer.text
    assert rows(server.folder, "corrections.jsonl") == before


def test_a_text_that_does_not_fit_its_recording_is_saved_and_not_trained_on(server):
    """`asr train` refuses such a label, and the command on the page would fail because of one slip."""
    noise = np.random.default_rng(0).integers(-3000, 3000, RATE).astype(np.int16)
    answer = save(server, wave_file(noise), text=" ".join([TEXT] * 5)).json
    assert "too long" in answer["problem"]
    assert answer["id"].startswith("sound-")  # the name that the client gave its file
    assert (answer["words"], answer["manifest"], answer["utterances"]) == ([], None, 0)
    assert rows(server.folder, "corrections.jsonl")[-1]["problem"] == answer["problem"]
    used = [one["id"] for name in ("train", "test") for one in rows(server.folder, f"{name}.jsonl")]
    assert answer["id"] not in used
    assert save(server, wave_file(np.zeros(RATE, np.int16)), text=TEXT).json["problem"] == "nothing is spoken in it"


def test_a_manifest_loses_a_line_whose_text_turns_out_not_to_fit(corrections, tmp_path):
    sound = recording(tmp_path, "sound")
    corrections.add(sound, correction())
    assert corrections.add(sound, correction("a longer text", problem="it is too long")).manifest is None
    assert rows(tmp_path, "train.jsonl") == []
    assert corrections.summary().train == 0


@contextmanager
def long_correction(folder: Path, *settings: str) -> Iterator[tuple[RunningServer, HTTPConnection]]:
    """A server whose process that aligns takes for ever, and the connection that waits for it."""
    with running(folder, f"data_dir={folder / 'data'}", *settings) as server:
        others = children_of(server)
        assert save(server, SAMPLE, text=TEXT).status == 201
        (aligner,) = children_of(server) - others
        os.kill(aligner, signal.SIGSTOP)
        body, kind = form(SAMPLE, [("text", TEXT)])
        connection = server.connect()
        connection.request("POST", "/v1/corrections", body, {"Content-Type": kind})
        server.waits_for(lambda: server.open_requests() == 1)
        time.sleep(0.2)  # the process has it
        yield server, connection
        connection.close()


def test_a_client_that_hangs_up_ends_its_correction_and_the_next_one_is_saved(tmp_path):
    with long_correction(tmp_path) as (server, connection):
        processes = len(children_of(server))
        connection.close()
        server.waits_for(lambda: server.open_requests() == 0, 5)
        assert len(rows(tmp_path, "corrections.jsonl")) == 1
        assert save(server, SAMPLE, text=TEXT).status == 201
        assert len(rows(tmp_path, "corrections.jsonl")) == 2
        assert len(children_of(server)) == processes
        assert "Traceback" not in "".join(server.log)


@pytest.mark.parametrize(("grace_seconds", "signals"), [(0.5, 1), (60, 2)])
def test_a_correction_does_not_delay_the_end_of_the_server(tmp_path, grace_seconds, signals):
    with long_correction(tmp_path, f"grace_seconds={grace_seconds}") as (server, connection):
        uploading = server.connect()
        uploading.putrequest("POST", "/v1/corrections")
        uploading.putheader("Content-Length", "1000")
        uploading.putheader("Content-Type", "multipart/form-data; boundary=x")
        uploading.endheaders(b"--x")
        server.waits_for(lambda: server.open_requests() == 2)
        begin = time.monotonic()
        if signals == 2:
            server.process.send_signal(signal.SIGTERM)
            server.waits_for(lambda: any("ending:" in line for line in server.log))
        assert server.end() == 128 + signal.SIGTERM
        assert time.monotonic() - begin < 10  # what the client of a refused upload still sends is read for 4 s
        assert connection.getresponse().status == uploading.getresponse().status == 503
        uploading.close()
        assert len(rows(tmp_path, "corrections.jsonl")) == 1
        assert "Traceback" not in "".join(server.log)


def test_without_a_folder_nothing_is_saved(tmp_path):
    with running(tmp_path) as server:
        for answer in (save(server, SAMPLE, text="a"), server.get("/v1/corrections")):
            assert (answer.status, answer.error["code"]) == (404, "corrections_off")


def test_a_folder_that_cannot_be_made_ends_the_start(tmp_path, asr_command):
    (tmp_path / "file").write_text("")
    outcome = asr_command("serve", "bundle=tiny", "port=0", "workers=1", f"data_dir={tmp_path / 'file'}")
    assert outcome.code == 2
    assert f"data_dir={tmp_path / 'file'}: the folder cannot be made" in outcome.err
