from __future__ import annotations

import itertools
from dataclasses import astuple

import numpy as np
import pytest

from asr.audio.measure import SILENCE_DB, Measurement, measure_audio, measure_channels
from asr.audio.segment import AudioSegment
from asr.errors import AudioError


def tone(level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 441 * np.arange(16000) / 16000)


def test_levels_of_a_tone_are_those_of_the_book(write_audio):
    sound = measure_audio(write_audio("tone.flac", tone(0.5)))
    assert sound.level_db == pytest.approx(-9.03, abs=0.02)
    assert sound.loudest_db == pytest.approx(-9.0, abs=0.2)
    assert sound.peak == pytest.approx(0.5, abs=1e-3)
    assert (sound.seconds, sound.sample_rate, sound.channels) == (1.0, 16000, 1)
    assert sound.range_db < 0.5
    assert sound.clipped_share == 0


def test_digital_silence_has_a_level(write_audio):
    sound = measure_audio(write_audio("silent.wav", np.zeros(400)))
    assert [sound.level_db, sound.loudest_db] == pytest.approx([SILENCE_DB] * 2)


def test_an_offset_is_that_of_the_worst_channel(write_audio):
    sound = measure_audio(write_audio("offset.wav", np.stack([tone(0.1), tone(0.1) - 0.2], 1), subtype="FLOAT"))
    assert sound.dc_offset == pytest.approx(-0.2, abs=1e-3)
    assert sound.channels == 2


@pytest.mark.parametrize("top", [1.0, 0.6])
def test_cut_off_tops_are_counted_at_any_level(write_audio, top):
    samples = np.clip(tone(2.0), -1, 1) * top
    sound = measure_audio(write_audio("clipped.wav", samples))
    assert sound.clipped_share == pytest.approx(2 / 3, abs=0.02)


def test_the_same_samples_have_the_same_digest_in_any_file(write_audio, rng):
    samples = np.round(3000 * rng.standard_normal(8000)).astype(np.int16)
    flac, wav = write_audio("a.flac", samples), write_audio("b.wav", samples)
    assert measure_audio(flac).digest == measure_audio(wav).digest
    samples[17] += 1
    assert measure_audio(write_audio("c.wav", samples)).digest != measure_audio(wav).digest
    assert measure_audio(write_audio("d.wav", samples, rate=8000)).digest != measure_audio(wav).digest


@pytest.mark.parametrize("sizes", [[1], [2, 1, 399], [401], [7, 16000]])
def test_the_sizes_of_the_blocks_make_no_difference(rng, sizes):
    samples = np.clip(np.round(rng.standard_normal((4000, 2)) * 4) / 8, -1, 1).astype(np.float32)
    samples[1000:1500] = np.float32(0.9)
    whole = measure_channels(samples, 16000)
    measurement, start = Measurement(16000, 2), 0
    for size in itertools.cycle(sizes):
        measurement.add(samples[start : start + size])
        start += size
        if start >= len(samples):
            break
    found = measurement.finish()
    assert (found.digest, found.clipped_share, found.seconds) == (whole.digest, whole.clipped_share, whole.seconds)
    for one, other in zip(astuple(found), astuple(whole), strict=True):
        assert one == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other)
    # By the definition, one by one: in a run of three equal ones of a quarter of full scale and more, or at full scale.
    for channel in samples.T:
        flat = [
            any(abs(one) >= 0.25 and (channel[at : at + 3] == one).all() and at + 3 <= len(channel) for at in starts)
            for place, one in enumerate(channel)
            for starts in [range(max(0, place - 2), place + 1)]
        ]
        expected = np.mean([one or abs(value) >= 0.999 for one, value in zip(flat, channel, strict=True)])
        assert measure_channels(channel[:, None], 16000).clipped_share == pytest.approx(expected)


def test_a_recording_shorter_than_a_block_is_measured(write_audio):
    assert measure_audio(write_audio("short.wav", tone(0.5)[:20])).loudest_db < 0


@pytest.mark.parametrize("seconds", [0.5, 70.0])
def test_a_segment_outside_its_recording_is_named_as_such(write_audio, seconds):
    path = write_audio("a.wav", np.zeros(int(1000 * seconds)), rate=1000)
    with pytest.raises(AudioError, match=r"the segment from 80 s on is not within the recording, which has"):
        measure_audio(AudioSegment(path, 80.0))


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        measure_audio(tmp_path / "gone.wav")
