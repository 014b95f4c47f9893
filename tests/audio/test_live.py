"""Sound that arrives: the thread that reads it, headers of pipes, microphones that fail."""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asr.audio import microphone
from asr.audio.live import ArrivingBytes, LiveReader, RawFormat, read_file, read_pipe, read_wav_header
from asr.audio.load import load_audio
from asr.errors import AudioError

from ..cli.test_listen import fake_sounddevice
from ..conftest import RATE, SAMPLES

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]


def take(reader):
    """The samples of a reader, and its messages."""
    items = list(reader)
    reader.close()
    blocks = [one for one in items if not isinstance(one, str)]
    return np.concatenate([np.zeros(0, np.float32), *blocks]), [one for one in items if isinstance(one, str)]


def piped(content, cuts=(), **settings):
    """What `read_pipe` gives for content that arrives in pieces."""
    read, write = os.pipe()

    def send():
        with os.fdopen(write, "wb", buffering=0) as file:
            for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
                file.write(content[start:end])

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return take(LiveReader(partial(read_pipe, f"/dev/fd/{read}", **settings), sample_rate=RATE))
    finally:
        os.close(read)
        sender.join()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_file_that_arrives_is_the_file(tmp_path, rng, subtype, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, rng.uniform(-0.9, 0.9, (3000, channels)), RATE, subtype=subtype)
    samples, messages = piped(path.read_bytes(), [5, 13, 50, 2001])
    assert messages == []
    np.testing.assert_allclose(samples, load_audio(path, sample_rate=RATE), atol=1e-6)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_file_without_a_size_is_read_to_its_end(tmp_path, rng, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, rng.uniform(-0.9, 0.9, 3000), RATE, subtype="PCM_16")
    content = path.read_bytes()
    samples, _ = piped(content[:40] + size.to_bytes(4, "little") + content[44:])
    assert np.array_equal(samples, load_audio(path, sample_rate=RATE))


def test_what_follows_the_samples_of_a_wav_file_is_no_sound(tmp_path, rng):
    path = tmp_path / "a.wav"
    soundfile.write(path, rng.uniform(-0.9, 0.9, 3000), RATE, subtype="PCM_16")
    samples, messages = piped(path.read_bytes() + b"LIST\4\0\0\0abcd" * 1000)
    assert (len(samples), messages) == (3000, [])


@given(st.binary(max_size=200), st.booleans())
def test_what_is_no_wav_header_is_put_back(content, begins):
    content = b"RIFF\0\0\0\0WAVE" + content if begins else content
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    try:
        file = ArrivingBytes(Path("a"), read, threading.Event())
        found, _ = read_wav_header(file)
        assert found is not None or file.read_all(1000) == content
    finally:
        os.close(read)


def test_raw_samples_may_be_cut_anywhere(rng):
    values = rng.integers(-32768, 32768, (2000, 2)).astype("<i2")
    raw = RawFormat(RATE, 2)
    samples, messages = piped(values.tobytes() + b"\1\2\3", [1, 2, 3, 4097], raw=raw)
    np.testing.assert_allclose(samples, values.astype(np.float32).mean(axis=1) / 32768, atol=1e-6)
    assert messages == ["ends within a sample: 3 of 4 bytes are there, and left out"]
    second, _ = piped(values.tobytes(), raw=raw, channel="2")
    assert np.array_equal(second, values[:, 1].astype(np.float32) / 32768)
    with pytest.raises(AudioError, match="there is no channel 3: the recording has 2"):
        piped(values.tobytes(), raw=raw, channel="3")


def test_a_raw_file_is_its_samples(tmp_path, rng):
    values = rng.integers(-32768, 32768, 3000).astype("<i2")
    (tmp_path / "a.raw").write_bytes(values.tobytes())
    source = partial(read_file, tmp_path / "a.raw", raw=RawFormat(RATE), realtime=False)
    samples, _ = take(LiveReader(source, sample_rate=RATE))
    assert np.array_equal(samples, values.astype(np.float32) / 32768)


def test_a_file_is_its_samples_whatever_the_pace():
    expected = load_audio(SAMPLE, sample_rate=RATE)
    samples, _ = take(LiveReader(partial(read_file, SAMPLE, realtime=False), sample_rate=RATE))
    assert np.array_equal(samples, expected)
    reader = LiveReader(partial(read_file, SAMPLE, realtime=True), sample_rate=RATE)
    begin = time.monotonic()
    blocks = [block for block, _ in zip(reader, range(10), strict=False)]
    assert time.monotonic() - begin > sum(map(len, blocks)) / RATE - 0.1
    reader.close()
    assert np.array_equal(np.concatenate(blocks), expected[: sum(map(len, blocks))])


def test_what_is_not_taken_makes_the_source_wait_and_nothing_is_lost():
    given_blocks = []

    def source(reader):
        for number in range(100):
            given_blocks.append(number)
            yield np.full(RATE, number, np.float32)

    reader = LiveReader(source, sample_rate=RATE)
    time.sleep(0.3)
    assert len(given_blocks) <= 22
    assert 19 <= reader.backlog <= 21
    samples, _ = take(reader)
    assert samples[::RATE].tolist() == list(range(100))


def test_an_error_comes_after_what_was_read():
    def source(reader):
        yield np.zeros(10, np.float32)
        reader.warn("a note")
        raise AudioError("a", "is damaged")

    reader = LiveReader(source, sample_rate=RATE)
    found = []
    with pytest.raises(AudioError, match="is damaged"):
        found.extend(reader)
    assert [len(one) for one in found] == [10, len("a note")]


def test_a_pipe_that_nobody_writes_to_is_left_at_a_stop(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = LiveReader(partial(read_pipe, str(tmp_path / "pipe")), sample_rate=RATE)
    time.sleep(0.1)
    reader.stop.set()
    assert take(reader)[0].tolist() == []


@pytest.fixture
def microphone_of(monkeypatch):
    """A reader of a microphone that records given samples."""

    def make(samples, *, rate=RATE, at_end=None, **settings):
        ended = threading.Event()
        module = fake_sounddevice(samples, rate, at_end=at_end or ended.set)
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        number, name = microphone.find_microphone(None)
        reader = LiveReader(partial(microphone.read_microphone, number, name, **settings), sample_rate=RATE)
        assert ended.wait(10)
        reader.stop.set()
        return take(reader)

    return make


def test_a_microphone_is_read_to_the_last_sample_before_the_stop(microphone_of, rng):
    values = rng.integers(-32768, 32768, 50_000).astype(np.int16)
    samples, messages = microphone_of(values)
    assert np.array_equal(samples, values.astype(np.float32) / 32768)
    assert messages == []


def test_a_microphone_that_never_pauses_is_left_at_a_stop(monkeypatch):
    """The device is closed before what it recorded is taken: else there might be no end of it."""
    over = threading.Event()
    module = fake_sounddevice(np.ones(10, np.int16), RATE)
    inner = module.InputStream

    class Endless(inner):
        def _play(self):
            block = np.ones((100, 1), np.int16)
            while not over.is_set():
                self._callback(block, len(block), None, SimpleNamespace(input_overflow=False))

        def __exit__(self, *error):
            over.set()
            super().__exit__(*error)

    module.InputStream = Endless
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    reader = LiveReader(partial(microphone.read_microphone, 1, "Headset"), sample_rate=RATE)
    next(iter(reader))
    reader.close()
    assert over.is_set()
    assert not reader._thread.is_alive()


def test_a_microphone_that_gives_only_zeros_is_reported(microphone_of):
    _, messages = microphone_of(np.zeros(6 * RATE, np.int16))
    assert messages == ["gives only zeros: it is muted, or this program has no permission to record"]
    assert microphone_of(np.ones(6 * RATE, np.int16))[1] == []


def test_samples_that_a_microphone_loses_are_reported_once(microphone_of, monkeypatch):
    monkeypatch.setattr(microphone, "_BLOCKS_AHEAD", 3)
    _, messages = microphone_of(np.ones(20 * RATE, np.int16))
    assert len(messages) == 1
    assert "samples were lost" in messages[0]


def test_a_microphone_that_is_gone_is_an_error(monkeypatch):
    monkeypatch.setattr(microphone, "_PATIENCE_SECONDS", 0.3)
    module = fake_sounddevice(np.ones(1000, np.int16), RATE)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    reader = LiveReader(partial(microphone.read_microphone, 1, "Headset"), sample_rate=RATE)
    with pytest.raises(AudioError, match=r"Headset: gives no more samples: is it still connected\?"):
        take(reader)


def test_late_text_is_reported_once_and_only_if_recognition_is_slower_than_speech(monkeypatch):
    from asr.cli import listen

    now = 0.0
    monkeypatch.setattr(listen, "time", SimpleNamespace(monotonic=lambda: now))
    for backlog, speed, expected in ((10, 1.5, 1), (10, 0.5, 0), (1, 1.5, 0)):
        lateness, reports = listen._Lateness(SimpleNamespace(backlog=backlog)), 0
        for _ in range(200):
            with lateness.measured(0.1):
                now += 0.1 * speed
            reports += lateness.is_new
        assert reports == expected
