"""A segment of a recording is what a file cut from it would be."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.load import decode_audio, load_audio, open_audio, probe_seconds
from asr.audio.readers import Limits, Readers
from asr.audio.segment import AudioSegment, cut_segment
from asr.errors import AudioError

from ..conftest import RATE


@pytest.fixture
def recording(write_audio):
    return write_audio("talk.wav", seconds=2, rate=8000, subtype="FLOAT")


@pytest.mark.parametrize(("offset", "duration"), [(0, 0.5), (0.25, 1.0), (1.999, 0.001), (0.3, None), (0.1, 1.9)])
def test_a_segment_is_the_same_as_a_file_cut_from_the_recording(recording, write_audio, offset, duration):
    samples, rate = soundfile.read(recording, dtype="float32")
    end = None if duration is None else round((offset + duration) * rate)
    cut = write_audio("cut.wav", samples[round(offset * rate) : end], rate=rate, subtype="FLOAT")
    segment = AudioSegment(recording, offset, duration)
    np.testing.assert_array_equal(load_audio(segment, sample_rate=RATE), load_audio(cut, sample_rate=RATE))
    np.testing.assert_array_equal(decode_audio(segment)[0], decode_audio(cut)[0])
    assert probe_seconds(segment) == pytest.approx(probe_seconds(cut))


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=8),
    start=st.integers(0, 40),
    length=st.none() | st.integers(1, 40),
)
def test_blocks_are_invisible(sizes, start, length):
    total = sum(sizes)
    samples = np.arange(total, dtype=np.float32)[:, None]
    blocks = iter(np.split(samples, np.cumsum(sizes)[:-1]))
    segment = AudioSegment("a.wav", start / 10, None if length is None else length / 10)
    if start < total and start + (length or 0) <= total:
        cut = np.concatenate([block for _, block in cut_segment(((10, block) for block in blocks), segment)])
        np.testing.assert_array_equal(cut, samples[start : None if length is None else start + length])
    else:
        with pytest.raises(AudioError, match="is not within the recording"):
            list(cut_segment(((10, block) for block in blocks), segment))


def test_nothing_is_read_or_kept_beyond_the_segment():
    blocks = iter([(10, np.full((10, 1), number, np.float32)) for number in range(5)])
    kept = list(cut_segment(blocks, AudioSegment("a.wav", 1.5, 1.0)))
    assert [block[:, 0].tolist() for _, block in kept] == [[], [1.0] * 5, [2.0] * 5]
    assert next(blocks)[1][0] == 3


@pytest.mark.parametrize("name", ["long.wav", "long.flac"])
def test_what_lies_before_a_segment_is_skipped_where_that_is_exact(write_audio, monkeypatch, name):
    path = write_audio(name, seconds=120, rate=8000)
    samples, _ = soundfile.read(path, dtype="float32")
    read, counts = soundfile.SoundFile.read, []

    def count(self, *arguments, **keywords):
        block = read(self, *arguments, **keywords)
        counts.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", count)
    monkeypatch.setattr("asr.audio.decode._BLOCK_VALUES", 8000)
    for offset, duration in ((100.25, 1.5), (119.5, None), (119.5, 0.5)):
        counts.clear()
        cut, _ = decode_audio(AudioSegment(path, offset, duration))
        end = None if duration is None else round((offset + duration) * 8000)
        np.testing.assert_array_equal(cut[:, 0], samples[round(offset * 8000) : end])
        assert sum(counts) <= 2.5 * 8000


def test_isolated_readers_give_the_same(recording):
    segment = AudioSegment(recording, 0.5, 1.25)
    readers = Readers(Limits(hours=1.3 / 3600))  # of the segment, not of its recording
    try:
        blocks = list(readers.read(segment, sample_rate=RATE))
    finally:
        readers.close()
    np.testing.assert_array_equal(
        np.concatenate([block.samples for block in blocks]), load_audio(segment, sample_rate=RATE)
    )
    assert blocks[-1].promised_seconds == 1.25


@pytest.mark.parametrize(("offset", "duration"), [(1.5, 1.0), (2.0, None), (7.5, 1.0), (0, 2.1)])
def test_a_segment_beyond_the_end_is_an_error_that_names_both(recording, offset, duration):
    for read in (lambda one: load_audio(one, sample_rate=RATE), decode_audio, probe_seconds):
        with pytest.raises(AudioError, match=r"talk\.wav: the segment .* is not within the recording, which has 2 s"):
            read(AudioSegment(recording, offset, duration))


def test_times_may_be_rounded(recording):
    assert len(decode_audio(AudioSegment(recording, 1.5, 0.504))[0]) == 4000
    assert probe_seconds(AudioSegment(recording, 1.5, 0.504)) == 0.5


def test_a_header_that_promises_too_little_does_not_cut_a_segment_off(recording, monkeypatch):
    monkeypatch.setattr("asr.audio.load._header_seconds", lambda _: 1.0)
    assert probe_seconds(AudioSegment(recording, 1.25, 0.5)) == 0.5


def test_a_message_names_the_segment(recording):
    assert str(AudioSegment(recording, 3600.125, 0.25)) == f"{recording} (3600.125 to 3600.375 s)"
    with open_audio(AudioSegment(recording, 0.5, 0.5)) as opened:
        assert opened.promised_seconds == 0.5
