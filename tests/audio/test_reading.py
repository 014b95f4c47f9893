"""Recordings are read in processes of their own: what breaks those does not break us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.load import load_audio
from asr.audio.readers import Limits, Readers
from asr.errors import AudioError, ConfigError

from ..conftest import RATE, REPOSITORY, SAMPLES

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]

# A reader whose decoder aborts, hangs, leaves or eats memory on recordings of certain names.
PLANTED = f"""
import os, sys, time, pathlib
sys.path.insert(0, {str(REPOSITORY)!r})
from asr.audio import reader_process
honest = reader_process.open_audio
def planted(path, **settings):
    name = pathlib.Path(path).stem
    if name == "abort":
        os.abort()
    if name == "hang":
        time.sleep(1000)
    if name == "leave":
        os._exit(3)
    if name == "eat":
        bytearray(1 << 40)
    if name == "odd":
        raise RuntimeError("never heard of it")
    return honest(path, **settings)
reader_process.open_audio = planted
reader_process.main()
"""


@pytest.fixture
def readers():
    made = Readers(Limits(timeout=30))
    yield made
    made.close()


@pytest.fixture
def planted():
    made = Readers(Limits(timeout=3), command=[sys.executable, "-c", PLANTED])
    yield made
    made.close()


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
        ("abort", r"the decoder broke down on it \(signal 6"),
        ("hang", r"the decoder has not moved on for 3 s"),
        ("leave", r"the decoder broke down on it \(exit code 3\)"),
        ("eat", "takes more memory to decode than any sane recording"),
        ("odd", r"cannot be decoded \(RuntimeError: never heard of it\)"),
    ],
)
def test_what_breaks_a_decoder_costs_one_recording(planted, write_audio, name, message):
    bad, good = write_audio(f"{name}.wav"), write_audio("good.wav")
    assert len(read(planted, good)) == RATE // 2
    with pytest.raises(AudioError, match=message) as caught:
        read(planted, bad)
    assert caught.value.path == str(bad)
    assert len(read(planted, good)) == RATE // 2


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


def test_a_recording_that_is_given_up_leaves_no_process(readers, write_audio):
    blocks = readers.read(write_audio("long.wav", seconds=60), sample_rate=RATE)
    next(blocks)
    (process,) = readers._all
    blocks.close()
    assert process._process.poll() is not None
    assert not readers._all


def test_a_reader_that_was_killed_while_it_waited_costs_no_recording(readers, write_audio):
    path = write_audio("a.wav")
    expected = read(readers, path)
    (process,) = readers._all
    process._process.kill()
    process._process.wait()
    np.testing.assert_array_equal(read(readers, path), expected)
    assert len(readers._all) == 1


def test_nobody_waits_for_a_hanging_decoder_who_has_been_told_to_stop(write_audio):
    readers, stopped = Readers(command=[sys.executable, "-c", PLANTED]), threading.Event()
    threading.Timer(0.5, stopped.set).start()
    started = time.monotonic()
    assert list(readers.read(write_audio("hang.wav"), sample_rate=RATE, stopped=stopped)) == []
    assert time.monotonic() - started < 10
    readers.close()


def test_readers_end_with_the_process_that_started_them(write_audio):
    code = f"""
import sys; sys.path.insert(0, {str(REPOSITORY)!r})
from asr.audio.readers import Readers
readers = Readers()
blocks = readers.read({str(write_audio("a.wav"))!r}, sample_rate=16000)
next(blocks)
print(*[one._process.pid for one in readers._all], flush=True)
import os, signal; os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    reader = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{reader}").exists() or "(zombie)" in Path(f"/proc/{reader}/status").read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the reader lives on")


@pytest.mark.parametrize("limits", [{"timeout": np.inf}, {"timeout": 1e10}, {"timeout": np.nan}, {"hours": np.inf}])
def test_limits_have_bounds_that_timers_can_count(limits):
    with pytest.raises(ConfigError, match=r"must be (above 0 and at most|a finite number)"):
        Limits(**limits)
