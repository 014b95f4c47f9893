from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from asr.recognition.window_queues import WindowQueues

from ..test_processes import wait_until


def fill(queues: WindowQueues[str], number: int, count: int, size: int) -> threading.Thread:
    """A thread that puts numbered items, and then "end"."""

    def put() -> None:
        for place in range(count):
            if not queues.put(number, f"{number}.{place}", size):
                return
        queues.put(number, "end")

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    return thread


def held(queues: WindowQueues[str]) -> int:
    with queues._changed:
        return queues._bytes


def test_every_recording_is_emptied_in_order_however_little_room_there_is():
    for most in (1, 100, 10_000):
        queues: WindowQueues[str] = WindowQueues(most)
        threads = [fill(queues, number, 50, 10) for number in range(5)]
        for number in range(5):
            for place in range(50):
                assert queues.get(number) == f"{number}.{place}"
            assert queues.get(number) == "end"
        for thread in threads:
            thread.join(10)
        assert held(queues) == 0


def test_what_waits_is_bounded_whatever_the_number_of_recordings():
    queues: WindowQueues[str] = WindowQueues(1000)
    threads = [fill(queues, number, 200, 10) for number in range(64)]
    most = 0
    for number in range(64):
        while queues.get(number) != "end":
            most = max(most, held(queues))
            if number == 0:
                time.sleep(0.002)  # time for the others to fill the room
    assert 900 <= most <= 1000 + 32 * 10
    for thread in threads:
        thread.join(10)


def test_the_next_recording_is_not_kept_waiting_by_those_after_it():
    queues: WindowQueues[str] = WindowQueues(100)
    fill(queues, 1, 50, 10)
    wait_until(lambda: held(queues) == 100)
    fill(queues, 0, 50, 10)
    wait_until(lambda: held(queues) == 100 + 32 * 10)
    assert [queues.get(0) for _ in range(51)][-1] == "end"


def test_closing_lets_nobody_wait():
    queues: WindowQueues[str] = WindowQueues(10)
    threads = [fill(queues, number, 50, 10) for number in range(3)]
    time.sleep(0.1)
    queues.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not queues.put(0, "more")


@pytest.mark.parametrize("workers", [2, 32])
def test_a_transcriber_bounds_the_windows_of_all_recordings(tiny_bundle, monkeypatch, workers):
    """Sixty long recordings that are read faster than the first one is decoded."""
    from asr.audio.reader_process import Block
    from asr.bundle import load_bundle
    from asr.recognition import pipeline as module
    from asr.recognition.transcriber import Transcriber

    monkeypatch.setattr(module, "_BYTES_AHEAD", 4 << 20)
    monkeypatch.setattr(module, "_BYTES_AHEAD_PER_CORE", 0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000 * 30).astype(np.float32)

    class Instant:
        def read(self, source, **settings):
            for _ in range(20):
                yield Block(noise, 600.0)

    class Blank:
        def run(self, frames):
            steps = np.full((-(-len(frames) // 4), 29), -20.0, np.float32)
            steps[:, 0] = 0
            return steps

    queues = []

    class Watched(WindowQueues):
        def __init__(self, most_bytes):
            super().__init__(most_bytes)
            queues.append(self)

    monkeypatch.setattr(module, "WindowQueues", Watched)
    transcriber = Transcriber(load_bundle(tiny_bundle), readers=Instant(), engine=Blank(), workers=workers)
    results = transcriber.transcribe_files([f"{number}.wav" for number in range(60)])
    next(results)
    window = 12 * 16000 * 4
    most = 0
    for _ in range(20):
        time.sleep(0.05)
        most = max(most, held(queues[0]))
    assert most <= (4 << 20) + 32 * window
    results.close()
