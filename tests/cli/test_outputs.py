"""Every output of every command: what others wrote is refused by name before any work, and stays as it was."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asr.bundle import copy_bundle, load_bundle
from asr.errors import OutputError
from asr.language.arpa import read_arpa
from asr.language.ngram_file import is_ngram_file

from ..conftest import SAMPLES, smoke_manifests, write_rows

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]
MANIFEST = SAMPLES / "samples.jsonl"
MINE = "It was a dark and stormy night"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def no_work(monkeypatch) -> None:
    """No model is loaded, nothing counted, no recording read."""

    def work(*_arguments, **_settings):
        pytest.fail("this is work, before what is in the way was refused")

    monkeypatch.setattr("asr.bundle.load_bundle", work)
    monkeypatch.setattr("asr.language.ngram_training.tokenize", work)
    monkeypatch.setattr("asr.doctor.examination.examine", work)
    monkeypatch.setattr("asr.cli.training_run.import_keras", work)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working directory, with what commands need."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copy(SAMPLE, folder / "talk.opus")
    (folder / "talk.text").write_text("a text")
    (folder / "books.txt").write_text("the cat sat\nthe dog sat\n")
    smoke_manifests(folder, train=2, valid=1)
    return folder


TUNE = ["tune", str(MANIFEST), "decoder=greedy"]
ALIGN = ["align", "talk.opus", "talk.text", "format=srt"]
TRAIN = ["train", "data.train=train.jsonl", "data.valid=valid.jsonl"]
# A command, and what of others is in its way.
PLACES = {
    "tune-output": ([*TUNE, "output=out"], "out/thesis/chapter1.txt"),
    "tune-output-bundle": ([*TUNE, "output=out"], "out/bundle.json"),
    "tune-output-file": ([*TUNE, "output=out"], "out"),
    "tune-trials": ([*TUNE, "report_dir=out"], "out/trials.csv"),
    "tune-decoder": ([*TUNE, "report_dir=out"], "out/decoder.yaml"),
    "tune-surface": ([*TUNE, "report_dir=out"], "out/surface.png"),
    "tune-reliability": ([*TUNE, "report_dir=out"], "out/reliability.png"),
    "evaluate-json": (["evaluate", str(MANIFEST), "output_dir=out"], "out/report.json"),
    "evaluate-text": (["evaluate", str(MANIFEST), "output_dir=out"], "out/report.txt"),
    "evaluate-page": (["evaluate", str(MANIFEST), "output_dir=out"], "out/report.html"),
    "evaluate-summary": (["evaluate", str(MANIFEST), "output_dir=out"], "out/summary.md"),
    "evaluate-utterances": (["evaluate", str(MANIFEST), "output_dir=out"], "out/utterances.csv"),
    "evaluate-slices": (["evaluate", str(MANIFEST), "output_dir=out"], "out/slices.csv"),
    "evaluate-confusions": (["evaluate", str(MANIFEST), "output_dir=out"], "out/confusions.csv"),
    "evaluate-media": (["evaluate", str(MANIFEST), "output_dir=out"], "out/report_files/mine.txt"),
    "evaluate-no-media": (["evaluate", str(MANIFEST), "output_dir=out", "page_audio=false"], "out/report_files/a/b"),
    "evaluate-file": (["evaluate", str(MANIFEST), "output_dir=out"], "out"),
    "doctor-json": (["doctor", "train.jsonl", "output_dir=out"], "out/report.json"),
    "doctor-page": (["doctor", "train.jsonl", "output_dir=out"], "out/report.html"),
    "doctor-quarantine": (["doctor", "train.jsonl", "output_dir=out"], "out/quarantine.jsonl"),
    "doctor-file": (["doctor", "train.jsonl", "output_dir=out"], "out"),
    "doctor-shown": (["doctor", "train.jsonl", "--show-augmented", "out"], "out/01-intro.wav"),
    "lm-default": (["lm", "books.txt"], "books.lm"),
    "lm-output": (["lm", "books.txt", "output=out.lm"], "out.lm"),
    "lm-arpa": (["lm", "books.txt", "output=out.arpa"], "out.arpa"),
    "lm-packed": (["lm", "books.txt", "output=out.arpa.gz"], "out.arpa.gz"),
    "lm-folder": (["lm", "books.txt", "output=out.lm"], "out.lm/mine"),
    "align": ([*ALIGN, "output_dir=out"], "out/talk.srt"),
    "align-file": ([*ALIGN, "output_dir=out"], "out"),
    "align-manifest": ([*ALIGN, "cut_dir=out"], "out/manifest.jsonl"),
    "align-cuts": ([*ALIGN, "cut_dir=out"], "out/talk/talk-00002.flac"),
    "listen": (["listen", "talk.opus", "format=vtt", "output=out.vtt"], "out.vtt"),
    "listen-folder": (["listen", "talk.opus", "output=out"], "out/mine"),
    "train": ([*TRAIN, "run_dir=out"], "out/notes.txt"),
    "train-file": ([*TRAIN, "run_dir=out"], "out"),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("name", PLACES)
def test_what_others_wrote_is_refused_by_name_before_any_work(asr_command, place, name):
    command, mine = PLACES[name]
    (place / mine).parent.mkdir(parents=True, exist_ok=True)
    (place / mine).write_text(MINE)
    before = tree(place)
    outcome = asr_command(*command)
    assert outcome.code == 2, outcome.err
    assert outcome.err.startswith("asr: error: ")
    assert all(part in outcome.err for part in mine.split("/")[:2]) or name in ("lm-folder", "listen-folder")
    assert tree(place) == before


@pytest.mark.parametrize("name", ["evaluate-summary", "doctor-quarantine", "doctor-shown", "lm-default", "align"])
def test_overwrite_replaces_files_of_others(asr_command, place, tiny_bundle, name):
    command, mine = PLACES[name]
    (place / mine).parent.mkdir(parents=True, exist_ok=True)
    (place / mine).write_text(MINE)
    settings = ["min_count=1"] if command[0] == "lm" else ["show_count=1"] if command[0] == "doctor" else []
    settings += [f"bundle={tiny_bundle}"] if command[0] in {"evaluate", "align"} else []
    outcome = asr_command(*command, *settings, "overwrite=true")
    assert outcome.code == 0, outcome.err
    if name != "doctor-shown":  # an utterance of another id
        assert (place / mine).read_bytes() != MINE.encode()


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    "name", ["tune-output", "tune-output-file", "evaluate-media", "evaluate-file", "lm-folder", "train"]
)
def test_overwrite_never_removes_a_folder_with_files_of_others_nor_puts_a_folder_for_a_file(asr_command, place, name):
    command, mine = PLACES[name]
    (place / mine).parent.mkdir(parents=True, exist_ok=True)
    (place / mine).write_text(MINE)
    before = tree(place)
    outcome = asr_command(*command, *([] if command[0] == "train" else ["overwrite=true"]))
    assert outcome.code == 2, outcome.err
    assert tree(place) == before


def test_a_thesis_survives_tuning(asr_command, tiny_bundle, tmp_path):
    thesis = tmp_path / "precious" / "thesis" / "chapter1.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text(MINE)
    arguments = ("tune", MANIFEST, f"bundle={tiny_bundle}", "decoder=greedy", f"output={tmp_path / 'precious'}")
    for overwrite in ((), ("overwrite=true",)):
        outcome = asr_command(*arguments, *overwrite)
        assert outcome.code == 2
        assert "precious: holds 'thesis', which asr did not write" in outcome.err
        assert "overwrite=true" in outcome.err
    assert tree(tmp_path) == {"precious/thesis/chapter1.txt": MINE.encode()}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("report_dir", ["out", "out/report", "./nowhere/../out"])
def test_a_report_within_the_bundle_that_is_written_is_refused(asr_command, place, report_dir):
    outcome = asr_command(*TUNE, "output=out", f"report_dir={report_dir}")
    assert outcome.code == 2
    assert "is inside the bundle output=out" in outcome.err
    assert not (place / "out").exists()


def test_a_bundle_replaces_a_bundle_and_nothing_else(tiny_bundle, tmp_path):
    bundle, out = load_bundle(tiny_bundle), tmp_path / "out"
    out.mkdir()  # nothing in it can be lost
    for _ in range(2):
        copy_bundle(bundle, out)
    (out / "README.md").write_text(MINE)
    before = tree(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"out: holds 'README\.md'"):
            copy_bundle(bundle, out, overwrite=overwrite)
    assert tree(tmp_path) == before
    (out / "README.md").unlink()
    (out / "bundle.json").write_text("{")
    with pytest.raises(OutputError, match=r"holds no bundle\.json that asr wrote: .* overwrite=true"):
        copy_bundle(bundle, out)
    copy_bundle(bundle, out, overwrite=True)
    (tmp_path / "current").symlink_to(out)
    copy_bundle(bundle, tmp_path / "current", provenance={"by": "a link"})
    assert (tmp_path / "current").is_symlink()
    assert load_bundle(out).provenance == {"by": "a link"}


def test_the_same_command_again_replaces_its_own_outputs(asr_command, place, tiny_bundle):
    bundle = f"bundle={tiny_bundle}"
    for command in (
        ["evaluate", MANIFEST, bundle, "worst=0", "output_dir=report", "embed_megabytes=0"],
        ["doctor", "train.jsonl", "output_dir=checkup", "--show-augmented", "shown", "show_count=1"],
        ["lm", "books.txt", "min_count=1"],
        ["lm", "books.txt", "min_count=1", "output=books.arpa.xz"],
        ["align", "talk.opus", "talk.text", bundle, "format=srt", "output_dir=aligned"],
    ):
        for _ in range(2):
            outcome = asr_command(*command)
            assert outcome.code == 0, outcome.err
    assert is_ngram_file(place / "books.lm")
    assert read_arpa(place / "books.arpa.xz").words


def test_a_report_that_was_edited_is_not_replaced(asr_command, place, tiny_bundle):
    command = ["evaluate", MANIFEST, f"bundle={tiny_bundle}", "worst=0", "output_dir=report", "page_audio=false"]
    assert asr_command(*command).code == 0
    (place / "report" / "summary.md").write_text(MINE)
    outcome = asr_command(*command)
    assert outcome.code == 2
    assert "report/summary.md: was not written by asr, or changed since; overwrite=true replaces it" in outcome.err
    assert (place / "report" / "summary.md").read_text() == MINE


def test_a_run_is_not_taken_up_over_files_of_others_in_its_bundles(asr_command, place):
    run = place / "run"
    run.mkdir()
    (run / "config.yaml").write_text(asr_command(*TRAIN, "run_dir=run", "--show-config").out)
    in_the_way = {"best/notes.txt": "run/best: holds 'notes.txt'", "validation/report.txt": "report.txt: was not"}
    for mine, named in in_the_way.items():
        (run / mine).parent.mkdir()
        (run / mine).write_text(MINE)
        before = tree(place)
        outcome = asr_command("train", "run_dir=run")
        assert outcome.code == 2, outcome.err
        assert named in outcome.err
        assert tree(place) == before
        shutil.rmtree((run / mine).parent)


def test_a_language_model_goes_through_links_and_into_pipes(asr_command, place):
    (place / "disk").mkdir()
    (place / "books.lm").symlink_to(place / "disk" / "books.lm")
    (place / "nothing.lm").symlink_to(os.devnull)
    for _ in range(2):
        assert asr_command("lm", "books.txt", "min_count=1").code == 0
    assert (place / "books.lm").is_symlink()
    assert is_ngram_file(place / "disk" / "books.lm")
    assert asr_command("lm", "books.txt", "min_count=1", "output=nothing.lm").code == 0
    assert not os.path.isfile(os.devnull)


# One output that cannot be written costs itself.


@pytest.fixture
def transcribe(asr_command, tiny_bundle) -> Callable[..., object]:
    return lambda *arguments: asr_command("transcribe", *arguments, f"bundle={tiny_bundle}", "decoder=greedy")


def test_an_output_that_is_a_folder_or_a_pipe_costs_itself(transcribe, place):
    shutil.copy(SAMPLE, place / "plain.opus")
    shutil.copy(SAMPLE, place / "second.opus")
    (place / "out" / "plain.txt").mkdir(parents=True)
    os.mkfifo(place / "out" / "talk.txt")
    for overwrite in ((), ("overwrite=true",)):
        outcome = transcribe(place, "output_dir=out", *overwrite)
        assert outcome.code == 1
        assert "out/plain.txt: cannot be written (there is a folder of that name)" in outcome.err
        assert "out/talk.txt: cannot be written (what is there is no regular file)" in outcome.err
        assert "Traceback" not in outcome.err
        assert (place / "out" / "second.txt").is_file()


def test_the_longest_name_is_a_name_and_a_longer_one_costs_itself(transcribe, place):
    longest, output = "x" * 250 + ".opus", "x" * 250 + ".json"
    (place / "in").mkdir()
    shutil.copy(SAMPLE, place / "in" / longest)
    assert transcribe("in", "output_dir=out", "format=json").code == 0
    assert (place / "out" / output).is_file()
    shutil.copy(SAMPLE, place / "in" / ("y" * 249 + ".opus"))
    outcome = transcribe("in", "output_dir=out", "format=textgrid")
    assert outcome.code == 1
    assert outcome.err.count("file systems hold 255") == 2


def test_odd_ids_of_a_manifest_cost_themselves(transcribe, asr_command, tiny_bundle, place):
    (place / "out").mkdir()
    (place / "out" / "file").touch()
    ids = ["good", "file/below", "..", "/", "~nobody", "x" * 300]
    rows = [{"audio_filepath": str(SAMPLE), "text": "a text", "id": one} for one in ids]
    manifest = write_rows(place / "odd.jsonl", rows)
    for outcome in (
        transcribe(manifest, "output_dir=out"),
        asr_command("align", manifest, f"bundle={tiny_bundle}", "output_dir=out", "format=srt"),
    ):
        assert outcome.code == 1, outcome.err
        assert "Traceback" not in outcome.err
        assert "file systems hold 255" in outcome.err
        assert "out/file/below" in outcome.err
        assert "2 of 6 inputs failed" in outcome.err
    for suffix in (".txt", ".srt"):
        assert (place / "out" / f"good{suffix}").is_file()
        assert (place / "out" / f"~nobody{suffix}").is_file()


@pytest.mark.parametrize("odd", ["a\0b", "half \ud83d"])
def test_ids_that_no_file_can_be_called_cost_themselves(tiny_bundle, place, odd):
    # Below the reader of manifests, which may refuse such a row itself.
    from asr.cli.inputs import Recording, inside
    from asr.cli.transcribe import _into_files
    from asr.recognition.transcriber import Transcriber
    from asr.settings.commands import TranscribeConfig
    from asr.settings.decoding import GreedyConfig
    from asr.settings.transcripts import TranscriptFormat

    recordings = [Recording(SAMPLE, str(SAMPLE), inside(f"{one}.opus"), one) for one in (odd, "good")]
    settings = TranscribeConfig(output_dir=str(place / "out"), decoder=GreedyConfig(), format=TranscriptFormat.ctm)
    assert _into_files(recordings, settings, Transcriber(load_bundle(tiny_bundle), decoder=GreedyConfig()), None) == 1
    assert (place / "out" / "good.ctm").is_file()
    # ... and where the output is beside the recording, the id is only in its content.
    settings = TranscribeConfig(beside=True, decoder=GreedyConfig(), format=TranscriptFormat.jsonl)
    recordings = [Recording(place / "talk.opus", "talk.opus", Path("talk.opus"), odd)]
    assert _into_files(recordings, settings, Transcriber(load_bundle(tiny_bundle), decoder=GreedyConfig()), None) == 0
    assert json.loads((place / "talk.jsonl").read_text())["id"] == odd


def test_a_full_disk_leaves_no_temporary_file(transcribe, place, monkeypatch):
    shutil.copy(SAMPLE, place / "second.opus")
    honest = os.fsync
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(handle)

    monkeypatch.setattr(os, "fsync", full)
    outcome = transcribe(place, "output_dir=out")
    assert outcome.code == 1
    assert ".txt: cannot be written (No space left on device)" in outcome.err
    assert sorted(path.name for path in (place / "out").iterdir() if "transcripts" not in path.name) == ["talk.txt"]


def test_a_tilde_of_no_user_is_a_folder_like_any_other(transcribe, place):
    assert transcribe("talk.opus", "output_dir=~no-such-user").code == 0
    assert (place / "~no-such-user" / "talk.txt").is_file()


def test_cuts_and_pictures_that_cannot_be_written_cost_themselves(asr_command, tiny_bundle, place):
    rows = [{"audio_filepath": str(SAMPLE), "text": "a text", "id": one} for one in ("good", "x" * 250)]
    manifest = write_rows(place / "odd.jsonl", rows)
    outcome = asr_command("align", manifest, f"bundle={tiny_bundle}", "cut_dir=cuts")
    assert outcome.code == 1
    assert "file systems hold 255" in outcome.err
    assert {json.loads(line)["id"] for line in (place / "cuts" / "manifest.jsonl").read_text().splitlines()} == {
        "good-00001"
    }
    assert (place / "cuts" / "good" / "good-00001.flac").is_file()
    outcome = asr_command("doctor", manifest, "--show-augmented", "shown", "data.max_seconds=100")
    assert outcome.code == 1
    assert "file systems hold 255" in outcome.err
    assert len(list((place / "shown").glob("*-good.*"))) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_costs_its_outputs(transcribe, place):
    (place / "in" / "sub").mkdir(parents=True)
    shutil.copy(SAMPLE, place / "in" / "a.opus")
    shutil.copy(SAMPLE, place / "in" / "sub" / "b.opus")
    (place / "out" / "sub").mkdir(parents=True, mode=0o555)
    outcome = transcribe("in", "output_dir=out")
    assert outcome.code == 1
    assert "no permission to write in out/sub" in outcome.err
    assert (place / "out" / "a.txt").is_file()


def test_the_umask_of_the_user_is_that_of_the_outputs(tiny_bundle, place):
    code = f"""
import os, sys
os.umask(0o077)
from asr.cli.main import main
sys.exit(main(["transcribe", "talk.opus", "bundle={tiny_bundle}", "output_dir=out"]))
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=place, check=False).returncode == 0
    for path in (place / "out").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


# Recordings of one name.


@pytest.fixture
def one_name(place) -> tuple[Path, Path]:
    """Two recordings of one name, and the folders that they are in."""
    paths = tuple(place / folder / "x.opus" for folder in ("anna", "ben"))
    for path, source in zip(paths, sorted(SAMPLES.glob("*.opus")), strict=False):
        path.parent.mkdir()
        shutil.copy(source, path)
    return paths[0], paths[1]


@pytest.mark.parametrize("cluster", [(), ("cluster=local",)])
def test_another_recording_of_that_name_does_not_replace_a_transcript(transcribe, place, one_name, cluster):
    first, second = one_name
    assert transcribe(first, "output_dir=out", *cluster).code == 0
    text = (place / "out" / "x.txt").read_text()
    outcome = transcribe(second, "output_dir=out", *cluster)
    assert outcome.code == 1
    assert f"out/x.txt: holds the transcript of {first}; overwrite=true replaces it" in outcome.err
    assert (place / "out" / "x.txt").read_text() == text
    assert transcribe(second, "output_dir=out", "overwrite=true", *cluster).code == 0
    assert (place / "out" / "x.txt").read_text() != text


def test_another_recording_of_that_name_does_not_replace_an_alignment(asr_command, place, tiny_bundle, one_name):
    first, second = one_name
    common = [f"bundle={tiny_bundle}", "format=srt", "output_dir=out"]
    assert asr_command("align", first, "talk.text", *common).code == 0
    outcome = asr_command("align", second, "talk.text", *common)
    assert outcome.code == 2
    assert f"holds the transcript of {first}" in outcome.err


def test_lines_of_recordings_of_one_name_name_them_by_their_paths(transcribe, place, one_name):
    outcome = transcribe("anna/x.opus", "ben/x.opus", "talk.opus", "format=ctm")
    assert outcome.code == 0
    assert {line.split()[0] for line in outcome.out.splitlines()} == {"anna/x", "ben/x", "talk"}
    names = {line.split()[0] for line in transcribe(place, "format=stm").out.splitlines()}
    assert names == {"anna/x", "ben/x", "talk"}


def test_ids_that_become_one_name_are_refused(transcribe, place):
    rows = [{"audio_filepath": str(SAMPLE), "text": "a text", "id": one} for one in ("call 1", "call_1")]
    write_rows(place / "calls.jsonl", rows)
    outcome = transcribe("calls.jsonl", "format=ctm")
    assert outcome.code == 2
    assert "two recordings would both be called 'call_1' in ctm and stm: call 1 and call_1" in outcome.err
    assert transcribe("calls.jsonl", "format=jsonl").code == 0


# Inputs are never outputs.


@pytest.mark.parametrize("name", ["talk.txt", "linked.opus"])
def test_an_input_is_not_overwritten_under_any_name(transcribe, place, name):
    os.symlink("linked.opus", place / "linked.txt")
    shutil.copy(SAMPLE, place / name)
    outcome = transcribe(name, "beside=true", "overwrite=true")
    assert outcome.code == 2
    assert "would be replaced, and is read" in outcome.err
    assert (place / name).read_bytes() == SAMPLE.read_bytes()


def test_the_text_of_an_alignment_and_a_list_are_inputs_too(asr_command, transcribe, place, tiny_bundle):
    (place / "talk.txt").write_text("a text")
    commands = [
        ["align", "talk.opus", "talk.txt", "format=txt", "output_dir=.", "overwrite=true", f"bundle={tiny_bundle}"],
        ["transcribe", "files_from=talk.txt", "output_dir=.", "overwrite=true", f"bundle={tiny_bundle}"],
    ]
    for command, content in zip(commands, ["a text", "talk.opus\n"], strict=True):
        (place / "talk.txt").write_text(content)
        outcome = asr_command(*command)
        assert outcome.code == 2, outcome.err
        assert "talk.txt: would be replaced, and is read (talk.txt)" in outcome.err
        assert (place / "talk.txt").read_text() == content
