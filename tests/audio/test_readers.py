"""Recordings are read in processes of their own: what breaks those does not break us."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.load import load_audio, probe_seconds
from asr.audio.measure import measure_audio
from asr.audio.readers import Limits, Readers
from asr.audio.segment import AudioSegment
from asr.errors import AudioError, ConfigError

from ..conftest import RATE, SAMPLES
from ..test_processes import is_gone, run, wait_until
from .planted import READER

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]


@pytest.fixture
def readers():
    with Readers(Limits(timeout=30)) as made:
        yield made


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr("asr.audio.readers._READER", READER)
    with Readers(Limits(timeout=3)) as made:
        yield made


def read(readers: Readers, path: Path | str, **settings) -> np.ndarray:
    return np.concatenate([block.samples for block in readers.read(path, sample_rate=RATE, **settings)])


def test_a_reader_gives_what_loading_gives(readers, write_audio):
    stereo = np.random.default_rng(1).uniform(-0.5, 0.5, (70 * 44100, 2))
    for path, channel in (
        (SAMPLE, "mix"),
        (write_audio("s.wav", stereo, rate=44100), "2"),
        (write_audio("m.wav"), "mix"),
    ):
        expected = load_audio(path, sample_rate=RATE, channel=channel)
        np.testing.assert_array_equal(read(readers, path, channel=channel), expected)


def test_a_header_promises_how_long_it_will_be(readers):
    blocks = list(readers.read(SAMPLE, sample_rate=RATE))
    assert blocks[0].promised_seconds == pytest.approx(sum(len(one.samples) for one in blocks) / RATE, abs=0.05)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("abort", r"the decoder crashed on it \(signal 6"),
        ("hang", r"the decoder gave nothing for 3 s"),
        ("leave", r"the decoder crashed on it \(exit code 3\)"),
        ("eat", "takes more than 4 GB of memory to decode"),
        ("odd", r"cannot be decoded \(RuntimeError: an odd codec\)"),
    ],
)
def test_what_breaks_a_decoder_costs_one_recording(planted, write_audio, name, message):
    bad, good = write_audio(f"{name}.wav"), write_audio("good.wav")
    assert len(read(planted, good)) == RATE // 2
    with pytest.raises(AudioError, match=message) as caught:
        read(planted, bad)
    assert caught.value.path == str(bad)
    assert len(read(planted, good)) == RATE // 2


def test_address_space_that_is_only_reserved_is_no_memory(planted, write_audio):
    """Threads reserve 64 MB each for what they may allocate: on many cores, more than a recording takes."""
    assert len(read(planted, write_audio("reserve.wav"))) == RATE // 2


def test_a_recording_longer_than_the_limit_is_refused(write_audio):
    readers = Readers(Limits(hours=2 / 3600))
    with pytest.raises(AudioError, match=r"is longer than 0\.000555556 hours"):
        read(readers, write_audio("three.flac", seconds=3))
    # A bomb: a header that promises little, or nothing.
    path = write_audio("bomb.wav", seconds=3)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(AudioError, match="is longer than"):
        read(readers, path)
    readers.close()


def with_promise(path: Path, samples: int) -> Path:
    """A FLAC file whose header gives its length as so many samples, 0 for no length."""
    content = bytearray(path.read_bytes())
    fields = int.from_bytes(content[18:26], "big")  # of STREAMINFO; the last 36 bits are the length
    content[18:26] = (fields >> 36 << 36 | samples).to_bytes(8, "big")
    path.write_bytes(content)
    return path


def test_a_header_that_promises_more_than_the_limit_is_believed_before_a_block_is_read(write_audio):
    readers = Readers(Limits(hours=50 / 3600))
    with pytest.raises(AudioError, match="is longer than"):
        next(readers.read(with_promise(write_audio("short.flac", seconds=1), 60 * RATE), sample_rate=RATE))
    readers.close()


def test_sound_beyond_the_limit_is_refused_where_the_header_promises_nothing(write_audio):
    readers = Readers(Limits(hours=2 / 3600))
    assert len(read(readers, with_promise(write_audio("one.flac", seconds=1), 0))) == RATE
    with pytest.raises(AudioError, match="is longer than"):
        read(readers, with_promise(write_audio("three.flac", seconds=3), 0))
    readers.close()


@pytest.mark.parametrize("rate", [1, 999])
def test_a_rate_at_which_nothing_can_be_understood_is_refused(readers, write_audio, rate):
    with pytest.raises(AudioError, match=f"has {rate} samples a second"):
        read(readers, write_audio("slow.wav", np.zeros(5000), rate=rate))


@pytest.mark.parametrize(("rate", "channels"), [(768_000, 1), (48_000, 24), (8000, 8)])
def test_unusual_rates_and_channels_are_read(readers, write_audio, rate, channels):
    path = write_audio("odd.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (rate // 2, channels)), rate=rate)
    assert len(read(readers, path)) == pytest.approx(RATE / 2, abs=2)


def test_eight_bit_mu_law_is_read(readers, write_audio):
    assert len(read(readers, write_audio("law.wav", subtype="ULAW"))) == RATE // 2


def test_a_name_that_is_no_text_is_read(readers, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")
    with open(path, "wb") as file:
        soundfile.write(file, np.zeros(100), RATE, format="WAV")
    assert len(read(readers, path)) == 100


def test_a_recording_that_is_read_in_part_leaves_no_process(readers, write_audio):
    blocks = readers.read(write_audio("long.wav", seconds=60), sample_rate=RATE)
    next(blocks)
    (pid,) = readers._pool.pids
    blocks.close()
    assert not readers._pool.pids
    assert is_gone(pid)


def test_a_reader_that_was_killed_while_it_was_idle_costs_no_recording(readers, write_audio):
    path = write_audio("a.wav")
    expected = read(readers, path)
    (pid,) = readers._pool.pids
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    np.testing.assert_array_equal(read(readers, path), expected)
    assert len(readers._pool.pids) == 1


def test_reading_that_is_stopped_does_not_wait_for_a_hanging_decoder(planted, write_audio):
    stopped = threading.Event()
    threading.Timer(0.5, stopped.set).start()
    started = time.monotonic()
    assert list(planted.read(write_audio("hang.wav"), sample_rate=RATE, stopped=stopped)) == []
    assert time.monotonic() - started < 10


def test_closing_the_readers_ends_a_reading_in_another_thread(monkeypatch, write_audio):
    monkeypatch.setattr("asr.audio.readers._READER", READER)
    readers = Readers()
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read, readers, write_audio("hang.wav"))
        wait_until(lambda: bool(readers._pool.pids))
        time.sleep(0.5)
        readers.close()
        with pytest.raises(RuntimeError, match=r"the readers were closed while they read .*hang\.wav"):
            reading.result()
    with pytest.raises(RuntimeError, match="closed"):
        read(readers, write_audio("a.wav"))


def test_whole_recordings_measures_and_durations_are_those_of_this_process(readers, write_audio):
    stereo = np.random.default_rng(1).uniform(-0.5, 0.5, (70 * 8000, 2))
    path = write_audio("s.wav", stereo, rate=8000)
    for source in (path, AudioSegment(path, 2.5, 3.0), SAMPLE):
        np.testing.assert_array_equal(readers.load(source, sample_rate=RATE), load_audio(source, sample_rate=RATE))
        assert readers.measure(source) == measure_audio(source)
        assert readers.probe(source) == probe_seconds(source)
    assert len(readers._pool.pids) == 1


@pytest.mark.parametrize("method", ["measure", "probe"])
@pytest.mark.parametrize("name", ["abort", "hang", "eat"])
def test_each_way_to_read_survives_each_way_to_break(planted, write_audio, tmp_path, method, name):
    (tmp_path / "headers").mkdir()
    bad, good = write_audio(f"headers/{name}.wav"), write_audio("good.wav")
    with pytest.raises(AudioError) as caught:
        getattr(planted, method)(bad)
    assert caught.value.path == str(bad)
    getattr(planted, method)(good)


def test_readers_in_a_forked_process_are_its_own():
    code = f"""
import os
from asr.audio.readers import shared_readers
def seconds(): return len(shared_readers().load({str(SAMPLE)!r}, sample_rate=16000)) / 16000
expected = seconds()
pids = shared_readers()._pool.pids
children = []
for _ in range(3):
    if not (child := os.fork()):
        os._exit(0 if seconds() == expected and shared_readers()._pool.pids != pids else 1)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
assert seconds() == expected
assert shared_readers()._pool.pids == pids
print("ok")
"""
    done = run(code)
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.parametrize("limits", [{"timeout": np.inf}, {"timeout": 1e10}, {"timeout": np.nan}, {"hours": np.inf}])
def test_limits_have_bounds_that_timers_can_count(limits):
    with pytest.raises(ConfigError, match=r"must be (above 0 and at most|a finite number)"):
        Limits(**limits)
