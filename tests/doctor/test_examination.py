"""Faults are planted in clean data: each must be found, by id and kind, and no clean file accused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.readers import Limits, Readers
from asr.doctor.examination import examine
from asr.doctor.faults import KINDS, Severity
from asr.doctor.findings_report import format_table, report_object, write_report
from asr.errors import ConfigError
from asr.machine import usage
from asr.settings.commands import DoctorConfig, TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.text import AlphabetConfig

from ..audio.planted import READER
from ..conftest import RATE, SHARED_SPEECH, write_rows

CLEAN = 200
SYLLABLES = ["ba", "der", "mo", "lin", "ta", "shu", "keer", "pon", "vi", "gra"]


def speech_like(seconds: float, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """A voice-like tone that comes and goes four times a second over a soft hiss."""
    times = np.arange(int(seconds * rate)) / rate
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * times))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(number * phase) / number for number in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * 4 * times + rng.uniform(0, 6)), 0, 1) ** 2
    return rng.uniform(0.05, 0.25) * loudness * voice + 1e-3 * rng.standard_normal(len(times))


def sentence(rng: np.random.Generator) -> str:
    words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(rng.integers(4, 12))]
    return " ".join(words)


def plain(folder: Path, count: int, rng: np.random.Generator, *, prefix: str = "clean") -> list[dict]:
    rows = []
    for number in range(count):
        text = sentence(rng)
        seconds = (0.4 + len(text) / 14) * rng.uniform(0.85, 1.15)
        samples = speech_like(seconds, rng)
        name = f"{prefix}-{number:03d}.{'flac' if number % 3 else 'wav'}"
        soundfile.write(folder / name, samples, RATE)
        rows.append(
            {
                "audio_filepath": name,
                "text": text,
                "duration": round(len(samples) / RATE, 2),
                "speaker": f"{prefix}-speaker-{number % 9}",
            }
        )
    return rows


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Manifests of clean utterances with faulty ones among them, and the kinds that each id must be accused of."""
    folder, rng = tmp_path_factory.mktemp("planted"), np.random.default_rng(11)
    clean = plain(folder, CLEAN, rng)
    bad: list[dict] = []
    kinds: dict[str, set[str]] = {}

    def plant(name: str, *expected: str, samples: np.ndarray | None = None, rate: int = RATE, **row) -> Path:
        text = row.get("text", sentence(rng))
        if samples is None:
            samples = speech_like(0.4 + len(text) / 14, rng)
        path = folder / name
        soundfile.write(path, samples, rate, subtype="FLOAT" if name.endswith(".wav") else None)
        bad.append({"audio_filepath": name, "text": text, "speaker": f"speaker of {name}"} | row)
        kinds[path.stem] = set(expected)
        return path

    plant("gone.wav", "missing").unlink()
    plant("letter.wav", "unreadable").write_text("Dear Sir or Madam, this is no recording")
    plant("nothing.wav", "unreadable").write_bytes(b"")
    cut = plant("cut.wav", "unreadable")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    broken = speech_like(3, rng)
    broken[5000] = np.nan
    plant("nan.wav", "unreadable", samples=broken)
    seconds = 2.5
    text = "molin dershu tashu keerpon mogra"
    plant("silent.wav", "silent", samples=np.zeros(int(seconds * RATE)), text=text)
    left = speech_like(seconds, rng)
    plant("opposite.wav", "silent", "channels", samples=np.stack([left, -left], 1), text="moba keer tapon shulin vi")
    plant("hiss.wav", "no_speech", samples=0.1 * rng.standard_normal(int(seconds * RATE)), text="pon " * 6 + "derba mo")
    plant(
        "loud.wav", "clipping", samples=np.clip(6 * speech_like(seconds, rng), -1, 1), text="shu vi mo derlin gra keer"
    )
    capped = np.clip(6 * speech_like(seconds, rng), -0.7, 0.7)
    plant("capped.flac", "clipping", samples=capped, text="tapon gra linmo dervi keer shuba")
    plant("offset.wav", "dc_offset", samples=speech_like(seconds, rng) + 0.05, text="gra mo keer talin ponvi dershu")
    plant(
        "telephone.wav",
        "low_rate",
        samples=speech_like(seconds, rng, 8000),
        rate=8000,
        text="vipon mo der gra keerlin ta",
    )
    both = np.stack([speech_like(seconds, rng), speech_like(seconds, rng)], 1)
    plant("stereo.flac", "channels", samples=both, text="linlin keer mopon grata shu vider")
    plant("longer.wav", "duration", duration=9.0)
    plant("naive.wav", "characters", text="keer na\u00efve moba derpon tavi")
    plant("digits.wav", "characters", text="talin 42 moba gra derpon")
    plant(
        "hurried.wav",
        "too_few_steps",
        "pace",
        samples=speech_like(0.5, rng),
        text=" ".join(sentence(rng) for _ in range(3)),
    )
    long_text = " ".join(sentence(rng) for _ in range(3))
    plant(
        "wrong_long.wav",
        "too_few_steps",
        "pace",
        samples=speech_like((0.4 + len(long_text) / 14) / 3, rng),
        text=long_text,
    )
    plant("wrong_short.wav", "pace", samples=speech_like(9, rng), text="moba tashu der linpon")
    plant("wordless.wav", "no_text", samples=speech_like(2, rng), text="...")
    copied = plant("original.wav")
    samples, _ = soundfile.read(copied)
    plant("copy.wav", "duplicate_audio", samples=samples, text=bad[-1]["text"])
    again = sentence(rng)
    plant("said_once.wav", text=again, speaker="parrot")
    plant("said_twice.wav", "duplicate_text", text=again.upper() + "!", speaker="parrot")
    plant(
        "hours.wav",
        "too_long",
        samples=np.tile(speech_like(10, rng), 3)[: 25 * RATE],
        text=" ".join(sentence(rng) for _ in range(8)),
    )
    valid = plain(folder, 20, rng, prefix="valid")
    shutil.copy(folder / clean[3]["audio_filepath"], folder / "seen_again.wav")
    shared_speaker = {**valid[5], "speaker": clean[0]["speaker"]}
    valid[5] = shared_speaker
    kinds["valid-005"] = {"shared_speaker"}
    valid.append(
        {"audio_filepath": "seen_again.wav", "text": sentence(rng), "speaker": "valid-speaker-1", "id": "seen_again"}
    )
    seconds = soundfile.info(folder / "seen_again.wav").duration
    valid[-1]["text"] = (clean[3]["text"][::-1] + " x")[: len(clean[3]["text"])].strip()
    kinds["seen_again"] = {"shared_recording"}
    order = rng.permutation(CLEAN + len(bad))
    # Copies are accused, not what they are copies of: these stay in their order.
    rows = clean + bad
    mixed = [rows[place] for place in order if place < CLEAN] + bad
    train = write_rows(folder / "train.jsonl", mixed)
    with train.open("a") as file:
        file.write('{"audio_filepath": "clean-000.wav", "text": \n')
    return train, write_rows(folder / "valid.jsonl", valid), kinds


def settings_for(train: Path, valid: Path, **data) -> TrainConfig:
    return TrainConfig(data=DataConfig(train=[str(train)], valid=[str(valid)], **data))


@pytest.fixture(scope="module")
def diagnosis(planted):
    train, valid, _ = planted
    return examine(settings_for(train, valid))


def test_every_planted_fault_is_found_by_id_and_nothing_else_is_reported(planted, diagnosis):
    train, _, kinds = planted
    accused: dict[str, set[str]] = {}
    for fault in diagnosis.faults:
        if fault.utterance:
            accused.setdefault(fault.utterance.id, set()).add(fault.kind)
    assert accused == {name: expected for name, expected in kinds.items() if expected}
    lines = train.read_text().count("\n")
    assert [fault.where for fault in diagnosis.faults if not fault.utterance] == [f"{train}:{lines}"]
    found = {fault.kind for fault in diagnosis.faults}
    assert len(found) >= 15
    assert len(diagnosis.utterances) == CLEAN + 21 + len(kinds) - 2


def test_the_short_form_finds_the_faults_of_headers_and_texts(planted):
    train, valid, kinds = planted
    short = examine(settings_for(train, valid), listen=False)
    by_ear = {"silent", "no_speech", "clipping", "dc_offset", "low_rate", "channels", "duplicate_audio"}
    for fault in short.faults:
        assert fault.kind not in by_ear
        if fault.utterance and fault.severity > Severity.note:
            assert fault.kind in kinds[fault.utterance.id]
    found = {fault.utterance.id for fault in short.faults if fault.utterance}
    assert {"gone", "letter", "nothing", "naive", "hurried", "longer", "wrong_long", "said_twice", "valid-005"} <= found


@pytest.mark.parametrize("listen", [True, False])
def test_a_recording_that_crashes_or_blocks_the_decoder_costs_itself(monkeypatch, tmp_path, listen):
    monkeypatch.setattr("asr.audio.readers._READER", READER)
    monkeypatch.setattr("asr.doctor.examination.Readers", lambda: Readers(Limits(timeout=3)))
    (tmp_path / "headers").mkdir()
    rows = plain(tmp_path / "headers", 4, np.random.default_rng(5))
    for row, name in zip(rows, ("abort", "hang"), strict=False):
        path = (tmp_path / "headers" / row["audio_filepath"]).rename(tmp_path / "headers" / f"{name}.wav")
        row["audio_filepath"], row["id"] = path.name, name
    manifest = write_rows(tmp_path / "headers" / "train.jsonl", rows)
    diagnosis = examine(TrainConfig(), parts=[manifest], listen=listen)
    found = {fault.utterance.id: (fault.kind, str(fault)) for fault in diagnosis.faults if fault.utterance}
    assert found.keys() == {"abort", "hang"}
    assert all(kind == "unreadable" for kind, _ in found.values())
    assert f"{manifest}:1: {tmp_path}/headers/abort.wav: the decoder crashed on it (signal 6" in found["abort"][1]
    assert f"{manifest}:2: {tmp_path}/headers/hang.wav: the decoder gave nothing for 3 s" in found["hang"][1]


def test_a_quarantine_list_is_respected_and_counted(planted, diagnosis, tmp_path):
    train, valid, _ = planted
    write_report(tmp_path, diagnosis)
    lines = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert len(lines) == len(
        [one for one in diagnosis.at_least(Severity.suspicious) if one != f"{train}:{train.read_text().count(chr(10))}"]
    )
    assert all(json.loads(line)["reasons"] for line in lines)
    again = examine(settings_for(train, valid, quarantine=[str(tmp_path / "quarantine.jsonl")]))
    assert again.quarantined == len(lines)
    assert again.unmatched == 0
    assert {fault.kind for fault in again.faults if fault.severity > Severity.note} == {"line"}
    other = write_rows(tmp_path / "other.jsonl", [{"audio_filepath": "nowhere.wav"}])
    assert examine(settings_for(train, valid, quarantine=[str(other)]), listen=False).unmatched == 1


def test_an_empty_quarantine_list_leaves_nothing_out(planted, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    found = examine(settings_for(*planted[:2], quarantine=[str(tmp_path / "empty.jsonl")]), listen=False)
    assert found.quarantined == found.unmatched == 0
    missing = examine(settings_for(*planted[:2], quarantine=[str(tmp_path / "none.jsonl")]), listen=False)
    assert missing.unusable_share == 1


def test_reports_name_every_fault_and_escape_what_they_quote(planted, diagnosis, tmp_path):
    _, _, kinds = planted
    table = format_table(diagnosis)
    report = report_object(diagnosis)
    for kind in {fault.kind for fault in diagnosis.faults}:
        assert KINDS[kind].title in table
        assert report["faults"][kind]["found"]
    assert {one["character"] for one in report["characters"] if not one["in_alphabet"]} == {"\u00ef", "4", "2"}
    assert report["verdict"] in table
    page = write_report(tmp_path, diagnosis).read_text("utf-8")
    for name in kinds:
        if kinds[name]:
            assert name in page
    assert page.count("<figure>") == 4


def test_a_hostile_text_stays_text(tmp_path, write_audio):
    write_audio("a.wav", seconds=2)
    path = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": "<script>alert(1)</script>"}])
    settings = settings_for(path, path)
    settings.normalizer.strip_punctuation = False
    page = write_report(tmp_path / "report", examine(settings, parts=[path])).read_text("utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_manifest_that_is_missing_makes_everything_unusable(tmp_path, write_audio):
    write_audio("a.wav", seconds=2)
    path = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": "hello"}])
    found = examine(settings_for(path, tmp_path / "gone.jsonl"))
    assert found.unusable_share == 1
    assert "no such manifest" in str(found.faults[0])


def test_no_manifest_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"data\.train names no manifest"):
        examine(TrainConfig())


def test_an_alphabet_from_the_data_knows_all_its_characters(tmp_path, write_audio):
    write_audio("a.wav", seconds=2)
    path = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": "\u0434\u0430"}])
    settings = TrainConfig(data=DataConfig(train=[str(path)]), alphabet=AlphabetConfig(from_data=True))
    assert examine(settings, listen=False).faults == []


def test_held_out_speakers_are_a_separate_part(planted):
    train, _, _ = planted
    settings = DoctorConfig(data=DataConfig(train=[str(train)], hold_out=0.1))
    parts = examine(settings, listen=False).parts
    assert [part.trained for part in parts] == [True, False]
    speakers = [{one.speaker for one in part.utterances} for part in parts]
    assert not speakers[0] & speakers[1]
    assert 0.05 < len(parts[1].utterances) / sum(len(part.utterances) for part in parts) < 0.16


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_SPEECH.is_dir(), reason="needs the speech corpora beside the repository")
def test_an_hour_of_real_speech_takes_less_than_twenty_core_seconds():
    """Not by the clock: other tests run beside this one."""
    manifest = SHARED_SPEECH / "librispeech" / "dev-clean-heldout.jsonl"
    before = usage()
    found = examine(TrainConfig(), parts=[manifest])
    seconds = usage().core_seconds - before.core_seconds
    assert found.seconds > 3600
    assert 1 < seconds / (found.seconds / 3600) < 20
    assert not found.at_least(Severity.unusable)


def test_segments_are_examined_as_recordings_of_their_own(tmp_path, rng):
    samples = np.concatenate([speech_like(4, rng), np.zeros(RATE)])
    soundfile.write(tmp_path / "talk.wav", samples, RATE)
    spans = {"one": (0, 2), "two": (2, 2), "late": (2.5, 1.5), "silence": (4, 1), "past": (4.5, 1)}
    rows = {
        name: {"audio_filepath": "talk.wav", "offset": offset, "duration": seconds, "id": name, "text": "ba der mo lin"}
        for name, (offset, seconds) in spans.items()
    }
    train = write_rows(tmp_path / "train.jsonl", [rows["one"], rows["silence"], rows["past"]])
    valid = write_rows(tmp_path / "valid.jsonl", [rows["two"], rows["late"] | {"offset": 1.5}])
    found = examine(settings_for(train, valid))
    kinds = {(fault.utterance.id, fault.kind) for fault in found.faults if fault.utterance}
    assert kinds >= {("silence", "silent"), ("past", "unreadable")}
    assert kinds >= {("two", "shared_speaker"), ("late", "shared_recording")}
    assert not {kind for name, kind in kinds if name == "one"} & {"silent", "duration", "unreadable", "duplicate_audio"}
    assert [one.duration for one in found.utterances][:2] == [2, 1]
    quarantine = tmp_path / "quarantine.jsonl"
    write_rows(quarantine, [rows["silence"], rows["past"]])
    again = examine(settings_for(train, valid, quarantine=[str(quarantine)]))
    assert (again.quarantined, again.unmatched) == (2, 0)
    page = write_report(tmp_path / "checkup", found)
    assert "talk.wav#t=4,5" in page.read_text("utf-8")


def test_a_text_with_digits_has_a_suggestion_and_a_remedy_in_the_terminal(tmp_path, write_audio, asr_command):
    """In the doctor's table and in the refusal of a training; also of a number that normalisation would tear apart."""
    pytest.importorskip("num2words")
    write_audio("a.wav", seconds=5)
    texts = ["Room 21, please", "It weighs 2.5 tons", "a plain text", "only $5"]
    rows = [{"audio_filepath": "a.wav", "id": str(number), "text": text} for number, text in enumerate(texts)]
    path = write_rows(tmp_path / "m.jsonl", rows)
    settings = DoctorConfig(data=DataConfig(train=[str(path)]))
    faults = [str(one) for one in examine(settings, listen=False).faults if one.kind == "characters"]
    assert len(faults) == 3
    assert faults[0].endswith("with its numbers spelled out: 'room twenty one please'")
    assert faults[1].endswith("with its numbers spelled out: 'it weighs two point five tons'")
    assert "spelled out" not in faults[2]
    done = asr_command("doctor", path)
    assert done.code == 1
    assert f"  {faults[0]}\n" in done.out
    assert "`asr prepare ... numbers=words` spells numbers out" in done.out
    done = asr_command("train", f"data.train=[{path}]", f"data.valid=[{path}]", f"run_dir={tmp_path / 'run'}")
    assert done.code != 0
    assert "with its numbers spelled out: 'room twenty one please'" in done.err
    assert "`asr prepare ... numbers=words` spells numbers out" in done.err


def test_digital_silence_is_a_fault_where_it_has_a_text(tmp_path, write_audio):
    """Of any length, in any format; silence without a text lacks the text alone."""
    rows = []
    for number, (name, seconds) in enumerate([("a.wav", 3), ("b.flac", 2), ("c.wav", 0.3), ("d.wav", 2)]):
        write_audio(name, np.zeros(int(seconds * RATE)))
        rows.append({"audio_filepath": name, "text": "" if name == "d.wav" else f"yes {'ab'[number % 2]}"})
    path = write_rows(tmp_path / "m.jsonl", rows)
    diagnosis = examine(DoctorConfig(data=DataConfig(train=[str(path)])))
    silent = [one for one in diagnosis.faults if one.kind == "silent"]
    assert [one.utterance.id for one in silent] == ["a", "b", "c"]
    assert all("digital silence, but it has the text 'yes" in one.message for one in silent)
    assert all(one.severity is Severity.unusable for one in silent)
    assert {one.kind for one in diagnosis.faults if one.utterance and one.utterance.id == "d"} >= {"no_text"}
