"""Sound is where a player has it: time stamps with a late start and gaps, several audio tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from asr.audio.load import load_audio, open_audio, probe_seconds
from asr.errors import AudioError

from .containers import add_audio, make_tone, write_tracks

RATE = 16000


def clicks(seconds: float, *times: float, rate: int = RATE) -> np.ndarray:
    """Silence with a short noise at some times."""
    samples = np.zeros(round(seconds * rate), np.float32)
    for time in times:
        place = round(time * rate)
        samples[place : place + rate // 50] = 0.5 * np.sign(np.sin(np.arange(rate // 50)))
    return samples


def onsets(samples: np.ndarray) -> list[float]:
    """When clicks begin, in seconds."""
    loud = np.flatnonzero(np.abs(samples) > 0.1) / RATE
    return [time for place, time in enumerate(loud.tolist()) if place == 0 or time - loud[place - 1] > 0.2]


def write(
    path: Path,
    samples: np.ndarray,
    *,
    codec: str = "pcm_s16le",
    rate: int = RATE,
    video: str | None = None,
    stamp: Callable[[float], float] = lambda seconds: seconds,
) -> None:
    """Mux one audio track whose time stamps are changed, with pictures that begin at 0."""
    with av.open(str(path), "w") as container:
        if video:
            film = container.add_stream(video, rate=25)
            film.width = film.height = 64
            film.pix_fmt = "yuv420p"
        _, packets = add_audio(container, codec, samples, rate)
        made = packets()
        for packet in made:
            assert packet.pts is not None
            shift = round(stamp(packet.pts / rate) * rate) - packet.pts
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.time_base = Fraction(1, rate)
        if video:
            for number in range(25 * (round(stamp(len(samples) / rate)) + 1)):
                picture = av.VideoFrame(64, 64, "yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, 25)
                made += film.encode(picture)
            made += film.encode(None)
        for packet in sorted(made, key=lambda one: one.dts * one.time_base):
            container.mux(packet)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "video"),
    [
        ("film.mkv", "pcm_s16le", 16000, "mpeg4"),
        ("film.mkv", "libopus", 48000, "mpeg4"),
        ("film.mov", "pcm_s16le", 16000, "mpeg4"),
        ("film.mp4", "aac", 48000, "mpeg4"),
        ("film.flv", "aac", 44100, "flv"),
        ("film.ts", "mp2", 48000, "mpeg2video"),
        ("film.mpg", "mp2", 48000, "mpeg2video"),
        ("film.wmv", "wmav2", 44100, "msmpeg4"),
        ("film.nut", "pcm_s16le", 16000, "mpeg4"),
    ],
)
def test_audio_that_starts_late_has_the_times_of_a_player(tmp_path, name, codec, rate, video):
    if not {codec, video} <= av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec} or {video}")
    path = tmp_path / name
    write(path, clicks(2, 0.5, 1.5, rate=rate), codec=codec, rate=rate, video=video, stamp=lambda seconds: seconds + 3)
    assert onsets(load_audio(path, sample_rate=RATE)) == pytest.approx([3.5, 4.5], abs=0.07)


def test_sound_alone_begins_when_it_begins(tmp_path):
    # Without pictures a player begins with the first sound, whatever its time stamp is.
    path = tmp_path / "sound.mka"
    write(path, clicks(2, 0.5), stamp=lambda seconds: seconds + 3)
    assert onsets(load_audio(path, sample_rate=RATE)) == pytest.approx([0.5], abs=0.01)
    assert probe_seconds(path) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("name", "codec"), [("sound.mka", "pcm_s16le"), ("sound.nut", "pcm_s16le")])
def test_gaps_of_time_stamps_are_silence(tmp_path, name, codec):
    path = tmp_path / name
    write(path, clicks(4, 0.5, 3.0), codec=codec, stamp=lambda seconds: seconds + (5 if seconds >= 2 else 0))
    assert onsets(load_audio(path, sample_rate=RATE)) == pytest.approx([0.5, 8.0], abs=0.01)


def test_unsteady_time_stamps_change_nothing(tmp_path, rng):
    samples = make_tone(4, RATE)
    write(tmp_path / "steady.mka", samples)
    write(tmp_path / "unsteady.mka", samples, stamp=lambda seconds: seconds + float(rng.uniform(0, 0.02)))
    expected = load_audio(tmp_path / "steady.mka", sample_rate=RATE)
    np.testing.assert_array_equal(load_audio(tmp_path / "unsteady.mka", sample_rate=RATE), expected)


def test_time_stamps_that_drift_are_followed(tmp_path):
    # A recorder whose clock is wrong by a twentieth: the samples of a minute are played in 63 seconds.
    write(tmp_path / "drift.mka", clicks(60, 59), stamp=lambda seconds: 1.05 * seconds)
    assert onsets(load_audio(tmp_path / "drift.mka", sample_rate=RATE)) == pytest.approx([1.05 * 59], abs=0.15)


def test_a_jump_of_hours_is_not_believed_and_said(tmp_path):
    path = tmp_path / "corrupt.mka"
    write(path, clicks(4, 0.5, 3.0), stamp=lambda seconds: seconds + (36_000 if seconds >= 2 else 0))
    with open_audio(path) as recording:
        samples = np.concatenate(list(recording.samples(sample_rate=RATE)))
    assert onsets(samples) == pytest.approx([0.5, 3.0], abs=0.01)
    assert len(recording.notes) == 1
    assert "time stamps jump by 36,000 s at 2.0" in recording.notes[0]


def test_time_stamps_that_begin_anew_lose_nothing(tmp_path):
    path = tmp_path / "anew.ts"
    write(path, make_tone(2, 48000), codec="mp2", rate=48000)
    content = path.read_bytes()
    path.write_bytes(content + content)
    assert len(load_audio(path, sample_rate=RATE)) / RATE == pytest.approx(4, abs=0.1)


def write_tones(
    path: Path, frequencies: Sequence[float], *, default: int | None, languages: Sequence[str] = ()
) -> None:
    times = np.arange(RATE) / RATE
    tones = [(0.5 * np.sin(2 * np.pi * frequency * times)).astype(np.float32) for frequency in frequencies]
    write_tracks(path, tones, RATE, default=default, languages=languages)


def pitch(path: Path, **settings: int) -> float:
    samples = load_audio(path, sample_rate=RATE, **settings)
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


def test_the_track_that_is_marked_as_default_is_read_and_the_others_are_named(tmp_path):
    path = tmp_path / "film.mka"
    write_tones(path, [400, 600, 800], default=1, languages=["ger", "eng", "fre"])
    assert pitch(path) == pytest.approx(600, abs=2)
    with open_audio(path) as recording:
        assert recording.notes == [
            "3 audio tracks: track 2 (eng) is read, marked as default; to read another: track=1 (ger), track=3 (fre)"
        ]
    for track, frequency in enumerate([400, 600, 800], 1):
        assert pitch(path, track=track) == pytest.approx(frequency, abs=2)
    with open_audio(path, track=3) as recording:
        assert recording.notes == []


def test_of_tracks_without_a_mark_the_first_is_read(tmp_path):
    path = tmp_path / "film.mka"
    write_tones(path, [400, 600], default=None)
    assert pitch(path) == pytest.approx(400, abs=2)
    with open_audio(path) as recording:
        assert "track 1 is read, the first; to read another: track=2" in recording.notes[0]


def test_a_track_that_is_not_there_is_an_error_that_counts_them(tmp_path, write_audio):
    path = tmp_path / "film.mka"
    write_tones(path, [400, 600], default=0)
    with pytest.raises(AudioError, match="there is no track 3: the recording has 2 audio tracks"):
        load_audio(path, sample_rate=RATE, track=3)
    with pytest.raises(AudioError, match=r"there is no track 2: the recording has 1 audio track$"):
        load_audio(write_audio("one.wav"), sample_rate=RATE, track=2)
    assert len(load_audio(write_audio("one.wav"), sample_rate=RATE, track=1)) == RATE // 2
