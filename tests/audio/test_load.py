from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from asr.audio.load import load_audio, probe_seconds
from asr.errors import AudioError

RATE = 16000


def tone(seconds: float = 1.0, rate: int = RATE, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_container(path: Path, codec: str, samples: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        kind = "fltp" if codec in {"aac", "libmp3lame"} else "flt" if codec == "libopus" else "s16"
        array = samples[None] if kind != "s16" else (samples[None] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(array, format=kind, layout="mono")
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def pitch(samples: np.ndarray, rate: int = RATE) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float(np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle))


FORMATS = {
    "wav": ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8", "ULAW"],
    "flac": ["PCM_16", "PCM_24"],
    "ogg": ["VORBIS", "OPUS"],
    "mp3": ["MPEG_LAYER_III"],
    "aiff": ["PCM_16"],
    "au": ["PCM_16"],
}


@pytest.mark.parametrize(("suffix", "subtype"), [(suffix, one) for suffix, kinds in FORMATS.items() for one in kinds])
def test_every_format_of_libsndfile_gives_the_tone_that_was_written(tmp_path, suffix, subtype):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(), RATE, subtype=subtype)
    samples = load_audio(path, sample_rate=RATE)
    assert samples.dtype == np.float32
    assert abs(len(samples) - RATE) < 2500
    assert pitch(samples) == pytest.approx(440, abs=3)
    # A lossy codec may overshoot where the tone sets in.
    assert np.abs(samples[len(samples) // 4 : -len(samples) // 4]).max() == pytest.approx(0.5, abs=0.06)
    assert probe_seconds(path) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("m4a", "aac"), ("mp4", "aac"), ("webm", "libopus"), ("aac", "aac"), ("mkv", "pcm_s16le")]
)
def test_containers_are_read_by_ffmpeg(tmp_path, suffix, codec):
    path = tmp_path / f"tone.{suffix}"
    write_container(path, codec, tone(2.0, 48000), 48000)
    samples = load_audio(path, sample_rate=RATE)
    assert len(samples) == pytest.approx(2 * RATE, rel=0.06)
    assert pitch(samples) == pytest.approx(440, abs=3)
    assert probe_seconds(path) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_is_resampled_to_the_one_asked_for(tmp_path, rate):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(1.0, rate), rate)
    samples = load_audio(path, sample_rate=RATE)
    assert len(samples) == pytest.approx(RATE, abs=2)
    assert pitch(samples) == pytest.approx(440, abs=3)


def test_channels_are_mixed_or_chosen(tmp_path):
    path = tmp_path / "stereo.wav"
    left, right = tone(), 0.5 * tone(frequency=880)
    soundfile.write(path, np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path, sample_rate=RATE), (left + right) / 2, atol=1e-6)
    np.testing.assert_allclose(load_audio(path, sample_rate=RATE, channel="1"), left, atol=1e-6)
    np.testing.assert_allclose(load_audio(path, sample_rate=RATE, channel="2"), right, atol=1e-6)
    with pytest.raises(AudioError, match="no channel 3: the recording has 2"):
        load_audio(path, sample_rate=RATE, channel="3")


def test_stereo_containers_are_mixed_too(tmp_path):
    path = tmp_path / "stereo.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE, layout="stereo")
        both = np.stack([tone(), np.zeros(RATE, np.float32)], axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="flt", layout="stereo")
        frame.rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    np.testing.assert_allclose(load_audio(path, sample_rate=RATE), tone() / 2, atol=1e-6)


@pytest.mark.parametrize("channels", [6, 8, 9, 16, 24])
def test_each_of_many_channels_of_a_container_is_itself(tmp_path, channels):
    # FFmpeg turns this WAV into Matroska without touching the samples.
    tones = np.stack([tone(0.5, frequency=200 + 100 * number) for number in range(channels)], axis=1)
    soundfile.write(tmp_path / "many.wav", tones, RATE, subtype="FLOAT")
    with av.open(str(tmp_path / "many.wav")) as source, av.open(str(tmp_path / "many.mka"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    for number in (1, channels):
        samples = load_audio(tmp_path / "many.mka", sample_rate=RATE, channel=str(number))
        np.testing.assert_allclose(samples, tones[:, number - 1], atol=1e-6)
    np.testing.assert_allclose(load_audio(tmp_path / "many.mka", sample_rate=RATE), tones.mean(axis=1), atol=1e-6)


def refuse(path: Path, message: str) -> None:
    with pytest.raises(AudioError, match=message) as caught:
        load_audio(path, sample_rate=RATE)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_file_is_named(tmp_path):
    refuse(tmp_path / "nothing.wav", "no such file")


def test_an_empty_file_is_named(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    refuse(path, "the file is empty")


@pytest.mark.parametrize("name", ["notes.wav", "notes.mp3", "notes.m4a", "notes.txt", "notes"])
def test_what_is_not_audio_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_text("This is not audio at all, whatever its name may say.\n" * 50)
    refuse(path, "not audio|no audio stream|damaged")


def test_a_folder_named_like_a_recording_is_named(tmp_path):
    path = tmp_path / "folder.wav"
    path.mkdir()
    refuse(path, "is a folder")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    refuse(path, "not a regular file")


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS")]
)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_an_error_not_a_shorter_recording(tmp_path, rng, suffix, subtype, share):
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, 0.1 * rng.standard_normal(5 * RATE), RATE, subtype=subtype)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refuse(path, "truncated")


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_truncated_container_is_an_error(tmp_path, rng, share):
    path = tmp_path / "cut.m4a"
    write_container(path, "aac", (0.1 * rng.standard_normal(5 * 48000)).astype(np.float32), 48000)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refuse(path, "truncated|damaged")


def test_a_wave_file_from_a_pipe_has_no_length_and_is_read_to_its_end(tmp_path):
    path = tmp_path / "streamed.wav"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[4:8] = content[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(load_audio(path, sample_rate=RATE)) == RATE


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused_with_the_time_of_the_first(tmp_path, value):
    samples = tone()
    samples[[4000, 4100]] = value
    path = tmp_path / "nan.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    refuse(path, r"not audio \((NaN|inf|1e\+30), full scale is 1\), the first at 0\.25 s")


def test_a_recording_without_samples_is_named(tmp_path):
    path = tmp_path / "none.flac"
    soundfile.write(path, np.zeros(0, np.float32), RATE)
    refuse(path, "no samples|no audio|damaged|empty")


@pytest.mark.parametrize("name", ["a b.wav", "jürgen's (1), x=1 ~.wav", "日本語.wav", "-dash.wav"])
def test_any_file_name_will_do(tmp_path, name):
    soundfile.write(tmp_path / name, tone(), RATE)
    assert len(load_audio(tmp_path / name, sample_rate=RATE)) == RATE
