from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, ManifestError
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.model import ModelConfig
from asr.settings.text import AlphabetConfig
from asr.training.preflight import read_corpus

from ..conftest import SMOKE, write_rows


def test_good_data_passes_and_texts_are_normalised(tmp_path, write_audio):
    write_audio("a.wav", seconds=2)
    path = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": "Hello, WORLD!"}])
    corpus = read_corpus(TrainConfig(data=DataConfig(train=[str(path)], valid=[str(SMOKE / "valid.jsonl")])))
    assert corpus.train[0].text == "hello world"
    assert corpus.train[0].duration == 2
    assert len(corpus.valid) == 20


def test_everything_wrong_is_reported_at_once_with_file_and_line(tmp_path, write_audio):
    for name in ("good.wav", "naive.wav", "long.wav", "shared.wav"):
        write_audio(name, seconds=1.5)
    (tmp_path / "text.wav").write_text("not audio")
    train = tmp_path / "train.jsonl"
    rows = [
        {"audio_filepath": "good.wav", "text": "fine"},
        {"audio_filepath": "missing.wav", "text": "gone"},
        {"audio_filepath": "naive.wav", "text": "naïve"},
        {"audio_filepath": "long.wav", "text": "far too long a label for a second and a half " * 3},
        {"audio_filepath": "text.wav", "text": "x"},
        {"audio_filepath": "shared.wav", "text": "seen"},
    ]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    valid = write_rows(tmp_path / "valid.jsonl", [{"audio_filepath": "shared.wav", "text": "seen"}])
    with pytest.raises(ManifestError) as caught:
        read_corpus(TrainConfig(data=DataConfig(train=[str(train)], valid=[str(valid)])))
    message = str(caught.value)
    assert f"{train}:2: {tmp_path / 'missing.wav'}: no such file" in message
    assert f"{train}:3: label 'naïve' (naive) has 'ï' (U+00EF, LATIN SMALL LETTER I WITH DIAERESIS)" in message
    assert f"{train}:4: label 'far too long" in message
    assert "steps, 1.50 s of audio make 42: a wrong label, or cut-off audio?" in message
    assert f"{train}:5: {tmp_path / 'text.wav'}: not audio" in message
    assert f"{train}:7: not JSON" in message
    assert f"{valid}:1: {tmp_path / 'shared.wav'} is also in the training set ({train}:6)" in message
    assert len(caught.value.problems) == 6


def test_utterances_that_are_held_out_of_several_manifests_make_one_that_can_be_read(tmp_path, write_audio):
    paths = []
    for corpus in ("first", "second"):
        (tmp_path / corpus).mkdir()
        rows = [
            {"audio_filepath": f"{number}.wav", "text": "x", "speaker": f"{corpus} {number}"} for number in range(6)
        ]
        for number in range(6):
            write_audio(f"{corpus}/{number}.wav", seconds=1)
        paths.append(str(write_rows(tmp_path / corpus / "all.jsonl", rows)))
    valid = read_corpus(TrainConfig(data=DataConfig(train=paths, hold_out=0.5))).valid
    assert len({one.where for one in valid}) == len(valid) >= 5
    write_manifest(tmp_path / "held_out.jsonl", valid)
    reading = read_manifest(tmp_path / "held_out.jsonl")
    assert reading.problems == []
    assert [one.id for one in reading.utterances] == [one.id for one in valid]


def test_what_most_of_the_data_has_is_said_first_with_what_to_set(tmp_path, write_audio):
    write_audio("a.wav", seconds=2)
    text = "thirty six characters, which is a lot"
    rows = [{"audio_filepath": "a.wav", "id": str(number), "text": text} for number in range(20)]
    path = write_rows(tmp_path / "m.jsonl", rows)
    data = DataConfig(train=[str(path)], valid=[str(SMOKE / "valid.jsonl")])
    with pytest.raises(ManifestError) as caught:
        read_corpus(TrainConfig(data=data, model=ModelConfig(subsampling=8)))
    assert caught.value.summary[0] == (
        "21 of 40 utterances: text too long for its audio (CTC): a wrong text, or cut-off audio; if there are many, "
        "lower model.subsampling"
    )
    assert len(caught.value.problems) == 21


def test_durations_out_of_bounds_are_counted_not_hidden(tmp_path, write_audio):
    for name, seconds in (("a.wav", 1), ("b.wav", 3), ("c.wav", 0.05)):
        write_audio(name, seconds=seconds)
    rows = [{"audio_filepath": name, "text": ""} for name in ("a.wav", "b.wav", "c.wav")]
    path = write_rows(tmp_path / "m.jsonl", rows)
    data = DataConfig(train=[str(path)], valid=[str(SMOKE / "valid.jsonl")], max_seconds=2)
    corpus = read_corpus(TrainConfig(data=data))
    assert (len(corpus.train), corpus.too_long, corpus.too_short) == (1, 1, 1)


def test_nothing_left_is_an_error(tmp_path, write_audio):
    write_audio("a.wav", seconds=3)
    path = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": "a"}])
    data = DataConfig(train=[str(path)], valid=[str(SMOKE / "valid.jsonl")], max_seconds=2)
    with pytest.raises(ManifestError, match=r"no training utterance is left: 0 .* 1 longer than data\.max_seconds=2"):
        read_corpus(TrainConfig(data=data))


def test_no_manifest_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"data\.train names no manifest"):
        read_corpus(TrainConfig())
    with pytest.raises(ConfigError, match=r"data\.valid names no manifest"):
        read_corpus(TrainConfig(data=DataConfig(train=["x.jsonl"])))


def test_an_alphabet_can_be_built_from_the_data(tmp_path, write_audio):
    write_audio("a.wav", seconds=2)
    write_audio("b.wav", seconds=2)
    train = write_rows(tmp_path / "t.jsonl", [{"audio_filepath": "a.wav", "text": "Да нет"}])
    valid = write_rows(tmp_path / "v.jsonl", [{"audio_filepath": "b.wav", "text": "да"}])
    settings = TrainConfig(
        data=DataConfig(train=[str(train)], valid=[str(valid)]), alphabet=AlphabetConfig(from_data=True)
    )
    assert read_corpus(settings).alphabet.symbols == " адент"


def faulty_data(tmp_path, write_audio, **data) -> TrainConfig:
    rows = [{"audio_filepath": str(write_audio(f"{name}.wav", seconds=2)), "text": f"hello {name}"} for name in "abcd"]
    rows[2]["audio_filepath"] = "gone.wav"
    train = write_rows(tmp_path / "m.jsonl", rows)
    return TrainConfig(data=DataConfig(train=[str(train)], valid=[str(SMOKE / "valid.jsonl")], **data))


def test_few_unusable_utterances_are_left_out_and_counted_where_that_is_allowed(tmp_path, write_audio, caplog):
    with pytest.raises(ManifestError, match=r"gone\.wav: no such file"):
        read_corpus(faulty_data(tmp_path, write_audio))
    with pytest.raises(ManifestError):  # one of 24
        read_corpus(faulty_data(tmp_path, write_audio, max_faulty=0.04))
    with caplog.at_level("WARNING"):
        corpus = read_corpus(faulty_data(tmp_path, write_audio, max_faulty=0.05))
    assert (len(corpus.train), corpus.unusable) == (3, 1)
    assert "left out: " in caplog.text
    assert "gone.wav: no such file" in caplog.text


def test_a_validation_recording_whose_content_is_damaged_is_found_before_the_first_step(tmp_path, write_audio, caplog):
    """Its header is that of a good one. One of training is left out when its turn comes."""
    rows = {}
    for part in ("train", "valid"):
        rows[part] = [{"audio_filepath": str(write_audio(f"{part} {one}.wav", seconds=1)), "text": "x"} for one in "ab"]
        samples = np.full(16_000, np.nan, np.float32)
        soundfile.write(tmp_path / f"{part} b.wav", samples, 16_000, subtype="FLOAT")
    paths = {part: [str(write_rows(tmp_path / f"{part}.jsonl", some))] for part, some in rows.items()}
    with pytest.raises(ManifestError, match=r"valid\.jsonl:2: .*valid b\.wav") as caught:
        read_corpus(TrainConfig(data=DataConfig(**paths)))
    assert len(caught.value.problems) == 1
    corpus = read_corpus(TrainConfig(data=DataConfig(**paths, max_faulty=0.25)))
    assert [one.id for one in corpus.valid] == [str(tmp_path / "valid a")]
    assert (len(corpus.train), corpus.unusable) == (2, 1)
    assert "left out: " in caplog.text


def test_no_share_of_faults_excuses_a_missing_manifest(tmp_path, write_audio):
    settings = faulty_data(tmp_path, write_audio, max_faulty=0.9)
    settings.data.train.append(str(tmp_path / "missing.jsonl"))
    with pytest.raises(ManifestError, match="no such manifest"):
        read_corpus(settings)


def test_utterances_in_quarantine_are_left_out_and_counted(tmp_path, write_audio):
    settings = faulty_data(tmp_path, write_audio)
    quarantine = write_rows(tmp_path / "q.jsonl", [{"audio_filepath": "gone.wav"}, {"audio_filepath": "b.wav"}])
    settings.data.quarantine = [str(quarantine)]
    corpus = read_corpus(settings)
    assert [one.id.rpartition("/")[2] for one in corpus.train] == ["a", "d"]
    assert corpus.quarantined == 2


def test_what_looks_suspicious_is_said_once_a_kind(tmp_path, write_audio, caplog):
    write_audio("a.wav", seconds=2)
    rows = [
        {"audio_filepath": "a.wav", "text": "the very same words", "id": name, "duration": 7.0} for name in ("x", "y")
    ]
    path = write_rows(tmp_path / "m.jsonl", rows)
    with caplog.at_level("WARNING"):
        read_corpus(TrainConfig(data=DataConfig(train=[str(path)], valid=[str(SMOKE / "valid.jsonl")])))
    assert "duration differs from the manifest's: 2 utterances (x, y); `asr doctor` shows details" in caplog.text
    assert "same audio as another: 1 utterances (y)" in caplog.text


def test_recordings_of_noise_are_looked_for_before_the_first_step(tmp_path, write_audio):
    settings = faulty_data(tmp_path, write_audio, max_faulty=0.5)
    write_audio("hum.wav")
    noise = write_rows(tmp_path / "n.jsonl", [{"audio_filepath": "hum.wav"}, {"audio_filepath": "buzz.wav"}])
    settings.augment.noise_manifests = [str(noise)]
    with pytest.raises(ManifestError, match=r"n\.jsonl:2: .*buzz\.wav: no such file"):
        read_corpus(settings)
    noise.write_text(noise.read_text().splitlines()[0] + "\n")
    assert read_corpus(settings).noises == [tmp_path / "hum.wav"]


def test_a_list_of_the_doctor_with_lines_of_other_manifests_is_no_cause_for_a_warning(tmp_path, write_audio, caplog):
    """As in the tutorial: one list for the training and the test set. The lines are counted."""
    for name in ("a.wav", "b.wav", "test.wav"):
        write_audio(name, seconds=2)
    path = write_rows(
        tmp_path / "m.jsonl", [{"audio_filepath": f"{name}.wav", "text": f"text {name}"} for name in "ab"]
    )
    listed = write_rows(tmp_path / "quarantine.jsonl", [{"audio_filepath": name} for name in ("b.wav", "test.wav")])
    data = DataConfig(train=[str(path)], valid=[str(SMOKE / "valid.jsonl")], quarantine=[str(listed)])
    with caplog.at_level("INFO", logger="asr"):
        read_corpus(TrainConfig(data=data))
    levels = {one.getMessage(): one.levelname for one in caplog.records if "quarantine" in one.getMessage()}
    assert levels == {
        "left out by data.quarantine: 1 utterances": "INFO",
        "1 lines of data.quarantine match no utterance in these manifests": "INFO",
    }
