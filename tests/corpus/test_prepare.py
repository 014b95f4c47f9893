"""Manifests of corpora, on miniatures of the real layouts."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import CORPORA


@pytest.fixture
def prepare(asr_command):
    """Run `asr prepare` with names of files and settings."""

    def run(corpus: str, source: Path, output: Path, *settings: str):
        return asr_command("prepare", corpus, source, f"output={output}", *settings)

    return run


def texts(manifest: Path) -> dict[str, str | None]:
    reading = read_manifest(manifest)
    assert reading.problems == []
    assert all(one.audio_path.is_file() and one.duration == pytest.approx(0.5) for one in reading.utterances)
    return {one.id: one.text for one in reading.utterances}


def test_librispeech_as_distributed(prepare, tmp_path, write_audio):
    for name in ("84/1/84-1-0000.flac", "84/1/84-1-0001.flac", "19/7/19-7-0000.flac"):
        write_audio(f"dev/{name}")
    (tmp_path / "dev/84/1/84-1.trans.txt").write_text("84-1-0000 HE SAID\n84-1-0001 IT'S FINE\n84-1-0002 GONE\n")
    (tmp_path / "dev/19/7/19-7.trans.txt").write_text("19-7-0000 YES\n")
    manifest = tmp_path / "out" / "dev.jsonl"
    done = prepare("librispeech", tmp_path / "dev", manifest)
    assert done.code == 1
    assert "84-1-0002: no such recording" in done.err
    assert "3 utterances, 0.00 h, 2 speakers\n1 left out" in done.out
    assert texts(manifest) == {"19-7-0000": "yes", "84-1-0000": "he said", "84-1-0001": "it's fine"}
    assert {one.speaker for one in read_manifest(manifest).utterances} == {"84", "19"}
    only = tmp_path / "only.jsonl"
    assert prepare("librispeech", tmp_path / "dev", only, "speakers=[19]").code == 0
    assert texts(only) == {"19-7-0000": "yes"}
    done = prepare("librispeech", tmp_path / "dev", only, "speakers=[5]")
    assert "has no speaker 5" in done.err
    (tmp_path / "dev").rename(tmp_path / "dev-clean")
    assert "2,703 utterances were expected, 4 are" in prepare("librispeech", tmp_path / "dev-clean", only).err
    (tmp_path / "dev-clean").rename(tmp_path / "dev")
    assert prepare("librispeech", tmp_path / "dev", manifest).code == 1


def test_a_folder_that_is_not_librispeech_is_refused(prepare, tmp_path):
    done = prepare("librispeech", tmp_path, tmp_path / "m.jsonl")
    assert done.code == 2
    assert "is this a LibriSpeech folder?" in done.err


def test_a_folder_of_recordings_with_texts_beside_them(prepare, tmp_path, write_audio):
    for speaker in ("anna", "ben", "cleo"):
        for number in range(3):
            path = write_audio(f"all/{speaker}/{number}.wav")
            path.with_suffix(".txt").write_text(f"Hello, I'm {speaker}!\n")
    write_audio("all/anna/no text.wav")
    (tmp_path / "all/ben/broken.wav").write_text("not audio")
    (tmp_path / "all/ben/broken.txt").write_text("x")
    with wave.open(str(tmp_path / "all/ben/nothing.wav"), "wb") as recording:
        recording.setparams((1, 2, 16000, 0, "NONE", ""))
    (tmp_path / "all/ben/nothing.txt").write_text("x")
    held_out = f"held_out={tmp_path / 'v.jsonl'}"
    done = prepare("recordings", tmp_path / "all", tmp_path / "t.jsonl", "hold_out=0.3", held_out)
    assert done.code == 1
    assert "no text.wav: there is no no text.txt beside it" in done.err
    for name, reason in (("broken", "not audio"), ("nothing", "holds no samples")):
        assert f"error: {tmp_path}/all/ben/{name}.wav: {reason}" in done.err
    train, valid = (read_manifest(tmp_path / name).utterances for name in ("t.jsonl", "v.jsonl"))
    assert len(train) == 6
    assert len(valid) == 3
    assert not {one.speaker for one in train} & {one.speaker for one in valid}
    assert texts(tmp_path / "t.jsonl").keys() | texts(tmp_path / "v.jsonl").keys() == {
        f"{speaker}/{number}" for speaker in ("anna", "ben", "cleo") for number in range(3)
    }


def test_a_folder_whose_folders_are_no_speakers(prepare, tmp_path, write_audio):
    for number in range(10):
        write_audio(f"all/day {number // 5}/{number}.wav").with_suffix(".txt").write_text("hello")
    done = prepare(
        "recordings", tmp_path / "all", tmp_path / "t.jsonl", "folder_speakers=false",
        "hold_out=0.2", f"held_out={tmp_path / 'v.jsonl'}",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "v.jsonl: 2 utterances, 0.00 h, unknown speakers" in done.out
    assert {one.speaker for one in read_manifest(tmp_path / "t.jsonl").utterances} == {None}


def test_ljspeech(prepare, tmp_path, write_audio):
    write_audio("LJSpeech-1.1/wavs/LJ001-0001.wav")
    write_audio("LJSpeech-1.1/wavs/LJ001-0002.wav")
    (tmp_path / "LJSpeech-1.1/metadata.csv").write_text(
        'LJ001-0001|In 1465, "so"|In fourteen sixty-five, "so"\nLJ001-0002|Dr. X|Doctor X\nLJ001-0003|Gone|Gone\n'
    )
    done = prepare("ljspeech", tmp_path / "LJSpeech-1.1", tmp_path / "m.jsonl")
    assert done.code == 1
    assert "metadata.csv:3" in done.err
    assert "13,100 utterances were expected, 3 are listed" in done.err
    assert texts(tmp_path / "m.jsonl") == {"LJ001-0001": "in fourteen sixty five so", "LJ001-0002": "doctor x"}
    (tmp_path / "LJSpeech-1.1").rename(tmp_path / "like it")
    again = [tmp_path / "like it", tmp_path / "raw.jsonl", "normalizer=none"]
    assert "were expected" not in prepare("ljspeech", *again).err
    assert texts(tmp_path / "raw.jsonl")["LJ001-0001"] == 'In fourteen sixty-five, "so"'


def test_common_voice(prepare, tmp_path, write_audio):
    write_audio("clips/cv_1.mp3")
    (tmp_path / "validated.tsv").write_text(
        "client_id\tpath\tsentence\tage\tgender\n" + 'abc\tcv_1.mp3\t"Quoted" he said\tteens\t\nabc\tgone.mp3\tx\t\t\n'
    )
    done = prepare("common_voice", tmp_path / "validated.tsv", tmp_path / "m.jsonl")
    assert done.code == 1
    assert "validated.tsv:3: " in done.err
    assert "gone.mp3: no such recording" in done.err
    (utterance,) = read_manifest(tmp_path / "m.jsonl").utterances
    assert (utterance.text, utterance.speaker, utterance.other) == ("quoted he said", "abc", {"age": "teens"})
    assert "name one of its tables (validated.tsv)" in prepare("common_voice", tmp_path, "x.jsonl").err


def test_an4_as_distributed(prepare, tmp_path, write_audio):
    for name in ("an4_clstk/fash/an251-fash-b", "an4_clstk/mjgm/cen1-mjgm-b"):
        write_audio(f"an4/wav/{name}.sph", format="NIST", subtype="PCM_16")
    etc = tmp_path / "an4" / "etc"
    etc.mkdir()
    (etc / "an4_train.fileids").write_text(
        "an4_clstk/fash/an251-fash-b\nan4_clstk/mjgm/cen1-mjgm-b\nan4_clstk/mjgm/cen2-mjgm-b\n"
    )
    (etc / "an4_train.transcription").write_text(
        "<s> YES </s> (an251-fash-b)\n<s> G I B </s> (cen1-mjgm-b)\n<s> GONE </s> (cen2-mjgm-b)\nno id\n"
    )
    done = prepare("an4", tmp_path / "an4", tmp_path / "m.jsonl")
    assert done.code == 1
    assert "an4_train.transcription:3: " in done.err
    assert "an4_train.transcription:4: a text and an id in brackets are wanted" in done.err
    assert "948 utterances were expected, 4 are listed" in done.err
    assert texts(tmp_path / "m.jsonl") == {"an251-fash-b": "yes", "cen1-mjgm-b": "g i b"}
    assert {one.speaker for one in read_manifest(tmp_path / "m.jsonl").utterances} == {"fash", "mjgm"}
    done = prepare("an4", tmp_path / "an4", tmp_path / "test.jsonl", "part=test")
    assert "an4_test.transcription is missing: is this the folder an4?" in done.err


def test_speechocean762_as_distributed(prepare, tmp_path, write_audio):
    write_audio("speechocean762/WAVE/SPEAKER0001/000010011.WAV", format="WAV")
    train = tmp_path / "speechocean762" / "train"
    train.mkdir()
    (train / "wav.scp").write_text("000010011\tWAVE/SPEAKER0001/000010011.WAV\n000010035\tWAVE/none.WAV\n")
    (train / "text").write_text("000010011\tWE CALL IT BEAR\n000010035\tX\n000010099\tY\n")
    (train / "utt2spk").write_text("000010011\t0001\n")
    (train / "spk2gender").write_text("0001\tm\n")
    (train / "spk2age").write_text("0001\t6\n")
    done = prepare("speechocean762", train, tmp_path / "m.jsonl")
    assert done.code == 1
    assert "000010035: WAVE/none.WAV: no such recording" in done.err
    assert "000010099: has no line in" in done.err
    assert "2,500 utterances were expected" in done.err
    (utterance,) = read_manifest(tmp_path / "m.jsonl").utterances
    assert (utterance.text, utterance.speaker) == ("we call it bear", "0001")
    assert utterance.other == {"gender": "m", "age": "6"}


def test_any_table_with_named_columns(prepare, tmp_path, write_audio):
    write_audio("a b.wav")
    (tmp_path / "list.csv").write_text('who,where,what,mood\nanna,a b.wav,"Yes, indeed",good\n')
    done = prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl")
    assert "audio_column= names one of: who, where, what, mood" in done.err
    arguments = ["audio_column=where", "text_column=what", "speaker_column=who"]
    assert prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl", *arguments).code == 0
    assert texts(tmp_path / "m.jsonl") == {"a b": "yes indeed"}
    assert read_manifest(tmp_path / "m.jsonl").utterances[0].other == {"mood": "good"}


@pytest.mark.parametrize("where", ["relative", "absolute", "below wavs"])
def test_recordings_of_a_table_with_the_same_file_name_in_different_folders_are_all_kept(
    prepare, tmp_path, write_audio, where
):
    top = {"relative": "", "absolute": f"{tmp_path}/tab/", "below wavs": ""}[where]
    below = "wavs/" if where == "below wavs" else ""
    for name in ("anna/1.wav", "ben/1.wav", "1.wav", "ben/2.5.wav"):
        write_audio(f"tab/{below}{name}")
    (tmp_path / "tab/list.csv").write_text(
        f"path,text,speaker\n{top}anna/1.wav,one,anna\n{top}ben/1.wav,two,ben\n{top}1.wav,three,ben\n"
        f"{top}ben/2.5,four,ben\n"
    )
    done = prepare("recordings", tmp_path / "tab/list.csv", tmp_path / "m.jsonl")
    assert done.code == 0, done.err
    assert texts(tmp_path / "m.jsonl") == {"anna/1": "one", "ben/1": "two", "1": "three", "ben/2.5": "four"}


def test_the_ids_of_a_table_are_kept(prepare, tmp_path, write_audio):
    write_audio("a.wav")
    write_audio("b.wav")
    (tmp_path / "list.csv").write_text("id,path,text\nu7,a.wav,one\nu8,a.wav,two\n,b.wav,three\n")
    assert prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl").code == 0
    assert texts(tmp_path / "m.jsonl") == {"u7": "one", "u8": "two", "b": "three"}
    (tmp_path / "list.csv").write_text("id,text\na,one\n./b.wav,two\na.wav,three\n")  # the names of recordings
    done = prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl")
    assert "list.csv:4: the id 'a' is that of" in done.err
    assert texts(tmp_path / "m.jsonl") == {"a": "one", "b": "two"}


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_has_a_help_that_shows_its_layout_and_an_example(asr_command, name):
    outcome = asr_command("prepare", name, "--help")
    assert outcome.code == 0
    assert f"Usage: asr prepare {name} {CORPORA[name].source} output=MANIFEST" in outcome.out
    assert " ".join(CORPORA[name].layout.split()) in " ".join(outcome.out.split())
    assert CORPORA[name].example.startswith(f"asr prepare {name} ")
    assert CORPORA[name].example in outcome.out


def test_lines_end_at_newlines_alone_and_quoted_values_may_hold_them(prepare, tmp_path, write_audio):
    """U+2028 is a line separator for `str.splitlines`, and a value in quotes may have several lines."""
    for name in ("a", "b", "c"):
        write_audio(f"{name}.wav")
    (tmp_path / "list.csv").write_text('path,text\na.wav,one\u2028two\nb.wav,"three\nfour"\r\nc.wav,five\n')
    assert prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl").code == 0
    assert texts(tmp_path / "m.jsonl") == {"a": "one two", "b": "three four", "c": "five"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,text\na.wav,na\xefve\n", "list.csv: not UTF-8 text (invalid continuation byte at byte 18)"),
        (b"path,text\na.wav\n", "list.csv:2: path or text is empty"),
        (b"path,text\n,word\n", "list.csv:2: path or text is empty"),
        (b"path,text\na.wav," + 200_000 * b"x" + b"\n", "list.csv:2: not a line of a table (field larger than"),
        (b"path\twords\na.wav\tx\n", "no column text or sentence or transcript"),
        (b"path,text\n", "list.csv lists no recordings"),
        (b"", "no column audio_filepath"),
    ],
)
def test_tables_that_cannot_be_read_are_named(prepare, tmp_path, write_audio, content, message):
    write_audio("a.wav")
    (tmp_path / "list.csv").write_bytes(content)
    done = prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl")
    assert done.code in {1, 2}
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "m.jsonl").exists()


def test_values_beyond_the_header_and_missing_ones_are_no_error(prepare, tmp_path, write_audio):
    write_audio("a.wav")
    (tmp_path / "list.csv").write_text("path,text,mood\na.wav,word\na.wav,word,good,extra\n")
    done = prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl")
    assert "list.csv:3: the id 'a' is that of" in done.err
    assert texts(tmp_path / "m.jsonl") == {"a": "word"}


def test_kaldi_files_that_are_commands_and_texts_without_recordings_are_named(prepare, tmp_path, write_audio):
    write_audio("data/a.wav")
    folder = tmp_path / "data"
    (folder / "wav.scp").write_text("a a.wav\nb sph2pipe b.sph |\n")
    (folder / "text").write_text("a hello there\nb x\n")
    done = prepare("speechocean762", folder, tmp_path / "m.jsonl")
    assert done.code == 1
    assert "b: a command ('sph2pipe b.sph |'), not a file" in done.err
    assert texts(tmp_path / "m.jsonl") == {"a": "hello there"}


def test_numbers_are_spelled_in_the_language_of_the_texts(prepare, tmp_path, write_audio):
    """A symbol that is spoken as a word leaves its line out by name; digits stay without the setting."""
    pytest.importorskip("num2words")
    for name in ("a", "b", "c"):
        write_audio(f"{name}.wav")
    (tmp_path / "list.csv").write_text('path,text\na.wav,"Room 21, the 3rd"\nb.wav,only $5 left\nc.wav,seven\n')
    done = prepare("recordings", tmp_path / "list.csv", tmp_path / "m.jsonl", "numbers=words")
    assert texts(tmp_path / "m.jsonl") == {"a": "room twenty one the third", "c": "seven"}
    assert done.code == 1
    assert "list.csv:3: 'only $5 left' has $ beside a number: write out what is spoken" in done.err
    assert prepare("recordings", tmp_path / "list.csv", tmp_path / "kept.jsonl").code == 0
    assert texts(tmp_path / "kept.jsonl")["a"] == "room 21 the 3rd"
    prepare("recordings", tmp_path / "list.csv", tmp_path / "de.jsonl", "numbers=words", "language=de")
    assert texts(tmp_path / "de.jsonl")["a"] == "room einundzwanzig the drei rd"
    done = prepare("recordings", tmp_path / "list.csv", tmp_path / "x.jsonl", "numbers=words", "language=xx")
    assert done.code == 2
    assert "language must be one of" in done.err
