"""Many recordings and streams at once give what each gives alone, and take turns."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asr import AudioError, AutoConfig, ConfigError, LiveConfig, Session, Transcriber, load_bundle
from asr.audio.load import load_audio
from asr.audio.segment import AudioSegment
from asr.errors import PoolClosedError, PoolFullError, WorkerEndedError
from asr.recognition import pool_schedule, pool_session, pool_worker
from asr.recognition.pool import Pool
from asr.recognition.pool_jobs import RecordingOptions
from asr.recognition.pool_load import RunningRatio, stream_capacity
from asr.recognition.pool_schedule import PoolWorker
from asr.recognition.pool_session import PooledSession, StreamOptions

from ..conftest import RATE, SAMPLES
from ..test_processes import is_gone

PATHS = sorted(SAMPLES.glob("*.opus"))
# Noise has words for a model with random weights too, and the beam search of a few hypotheses is quick.
DECODER = AutoConfig(beam_width=4)
LIVE = LiveConfig(interval_seconds=0.48, beam_width=4)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def run(runner) -> Callable[[Any], Any]:
    """Runs a coroutine in the event loop of the pools of this module, within five minutes."""
    return lambda coroutine: runner.run(asyncio.wait_for(coroutine, 300))


def make_pool(**arguments: Any) -> Pool:
    return Pool("tiny", decoder=DECODER, live=LIVE, **{"workers": 1, "max_streams": 8} | arguments)


@pytest.fixture(scope="module")
def pool(run) -> Iterator[Pool]:
    """A pool with one worker, in which tests leave nothing."""
    pool = make_pool()
    run(pool.start())
    yield pool
    run(pool.close())


@pytest.fixture(autouse=True)
def nothing_is_left(pool) -> Iterator[None]:
    yield
    assert (pool.load.files, pool.load.live_streams) == (0, 0)


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with Transcriber(load_bundle("tiny"), decoder=DECODER) as transcriber:
        yield transcriber


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return np.concatenate([load_audio(path, sample_rate=RATE) for path in PATHS[:2]])


@pytest.fixture
def long_recording(write_audio, speech) -> Path:
    return write_audio("long.wav", np.tile(speech, 10))


def events_alone(transcriber: Transcriber, samples: np.ndarray) -> list[Any]:
    session = Session(transcriber, live=LIVE)
    return session.push(samples) + session.finish()


async def play(session: Any, blocks: list[np.ndarray]) -> list[Any]:
    """All events of a session that is fed some blocks."""

    async def feed() -> None:
        for block in blocks:
            await session.push(block)
        await session.finish()

    feeding = asyncio.create_task(feed())
    events = [event async for event in session.events()]
    await feeding
    return events


async def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def child_processes() -> set[int]:
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        found |= set(map(int, file.read_text().split()))
    return found


def test_transcripts_are_those_of_the_transcriber(pool, run, transcriber, long_recording):
    sources = [*PATHS, long_recording, AudioSegment(PATHS[0], 1.0, 3.5)]

    async def transcripts() -> list[Any]:
        return await asyncio.gather(*map(pool.transcribe, sources))

    assert run(transcripts()) == list(transcriber.transcribe_files(sources, errors="raise"))


def test_a_channel_and_a_decoder_of_its_own_are_those_of_the_recording(pool, run, write_audio, speech):
    stereo = write_audio("stereo.wav", np.stack([np.zeros_like(speech), speech], axis=1))
    decoder = AutoConfig(beam_width=8, hotwords=["christ"])
    found = run(pool.transcribe(stereo, RecordingOptions(decoder=decoder, channel="2")))
    with Transcriber(load_bundle("tiny"), decoder=decoder, channel="2") as alone:
        assert found == alone.transcribe(stereo)


def test_the_segments_of_a_recording_make_its_text(pool, run, long_recording):
    segments, seconds = [], []
    found = run(
        pool.transcribe(long_recording, progress=lambda *progress: seconds.append(progress), on_segment=segments.append)
    )
    assert len(segments) > 5
    assert pool.bundle.alphabet.join(one.text for one in segments) == found.text
    assert sum(len(one.words) for one in segments) == len(found.words)
    assert seconds == sorted(seconds)
    assert seconds[-1][1] <= 1
    assert len(seconds) > len(segments) / 2


def test_an_unreadable_recording_is_the_error_of_the_transcriber(pool, run, transcriber, tmp_path):
    (tmp_path / "text.wav").write_text("no audio at all")
    for path in (tmp_path / "text.wav", tmp_path / "missing.wav"):
        with pytest.raises(AudioError) as alone:
            transcriber.transcribe(path)
        with pytest.raises(AudioError) as pooled:
            run(pool.transcribe(path))
        assert str(pooled.value) == str(alone.value)


def test_an_error_of_a_callback_ends_its_recording_and_nothing_else(pool, run, long_recording):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of the caller")

    with pytest.raises(ZeroDivisionError, match="of the caller"):
        run(pool.transcribe(long_recording, progress=fail))
    assert run(pool.transcribe(PATHS[0])).duration > 7


def test_the_events_of_a_stream_are_those_of_a_session_however_it_is_divided(pool, run, transcriber, speech, rng):
    alone = events_alone(transcriber, speech)
    assert {event.type for event in alone} == {"speech_started", "partial", "speech_ended", "final"}
    cuts = [range(320, len(speech), 320), np.sort(rng.integers(0, len(speech), 40)), [7], []]

    async def streams() -> list[Any]:
        sessions = [await pool.open_session() for _ in cuts]
        return await asyncio.gather(
            *(play(one, np.split(speech, list(places))) for one, places in zip(sessions, cuts, strict=True))
        )

    assert run(streams()) == [alone] * len(cuts)


def test_a_stream_can_be_recognised_block_by_block(pool, run, transcriber, speech):
    async def block_by_block() -> list[list[Any]]:
        stream, found = await pool.open_session(), []
        for start in range(0, len(speech), 7000):
            await stream.push(speech[start : start + 7000])
            found.append(await stream.recognised())
        await stream.finish()
        return [*found, await stream.recognised()]

    session = Session(transcriber, live=LIVE)
    wanted = [session.push(speech[start : start + 7000]) for start in range(0, len(speech), 7000)]
    assert run(block_by_block()) == [*wanted, session.finish()]


def test_a_stream_takes_the_place_of_the_one_before(run, transcriber, speech):
    async def in_a_full_pool() -> None:
        async with make_pool(max_streams=1) as pool:
            first = await pool.open_session()
            with pytest.raises(PoolFullError):
                await pool.open_session()
            second = await pool.open_session(instead_of=first)
            assert first.is_ended
            await second.push(speech)
            await second.finish()
            third = await pool.open_session(StreamOptions(sample_rate=8000), instead_of=second)
            assert pool.load.live_streams == 1
            third.cancel()

    run(in_a_full_pool())


def test_a_stream_has_a_rate_and_settings_of_its_own(pool, run, speech):
    samples, decoder = speech[: 8 * RATE : 2], AutoConfig(beam_width=8)
    live = LiveConfig(interval_seconds=0.24, second_pass=False)
    with Transcriber(load_bundle("tiny"), decoder=decoder) as transcriber:
        alone = Session(transcriber, sample_rate=8000, live=live)
        expected = alone.push(samples) + alone.finish()
    options = StreamOptions(decoder=decoder, live=live, sample_rate=8000)

    async def stream() -> list[Any]:
        session = await pool.open_session(options)
        with pytest.raises(AudioError, match="16000 Hz, and the stream has 8000 Hz"):
            await session.push(samples, 16000)
        return await play(session, np.split(samples, 50))

    assert run(stream()) == expected


def test_bad_samples_are_refused_and_the_stream_goes_on(pool, run, transcriber, speech):
    async def stream() -> list[Any]:
        session = await pool.open_session()
        for bad in (np.array([np.nan]), np.zeros((2, 2)), np.zeros(3, np.int32)):
            with pytest.raises(AudioError, match=r"^samples: "):
                await session.push(bad)
        whole = (speech * 32767).astype(np.int16)
        return await play(session, [whole])

    assert run(stream()) == events_alone(transcriber, (speech * 32767).astype(np.int16))


def test_a_session_that_is_finished_takes_no_samples(pool, run):
    async def stream() -> None:
        session = await pool.open_session()
        await session.finish()
        await session.finish()
        assert [event async for event in session.events()] == []
        with pytest.raises(RuntimeError, match="finished"):
            await session.push(np.zeros(100))

    run(stream())


def test_a_short_recording_overtakes_a_long_one(pool, run, long_recording):
    """Counted in slices: from its first one on, the long recording gets one in eight at most."""
    slices: list[str] = []

    async def both() -> None:
        long = asyncio.create_task(pool.transcribe(long_recording, progress=lambda *_: slices.append("long")))
        await until(lambda: len(slices) > 2)
        await pool.transcribe(PATHS[0], progress=lambda *_: slices.append("short"))
        assert not long.done()
        await long

    run(both())
    during = slices[slices.index("short") : -slices[::-1].index("short")]
    assert during.count("long") <= 1 + len(during) / 8
    assert slices[-1] == "long"


def test_a_short_recording_is_begun_whatever_was_begun_before(pool, run, long_recording, monkeypatch):
    monkeypatch.setattr(pool_schedule, "_MOST_BEGUN", 1)

    async def all_three() -> None:
        done: list[float] = []
        longs = [
            asyncio.create_task(pool.transcribe(long_recording, progress=lambda *_: done.append(0))) for _ in range(2)
        ]
        await until(lambda: len(done) > 2)
        await pool.transcribe(PATHS[0])
        assert not any(task.done() for task in longs)
        await asyncio.gather(*longs)

    run(all_three())


def test_decoders_that_hang_hold_up_their_own_recordings_alone(pool, run, write_audio, monkeypatch):
    hanging, read, ends = write_audio("hanging.wav", seconds=0.1), pool._readers.read, threading.Event()

    def read_slowly(source: Any, **arguments: Any) -> Any:
        if source == hanging:
            ends.wait()
        return read(source, **arguments)

    monkeypatch.setattr(pool._readers, "read", read_slowly)

    async def both() -> None:
        tasks = [asyncio.create_task(pool.transcribe(hanging)) for _ in range(2)]
        await until(lambda: len(pool._workers[0].files) == 2)
        for path in PATHS[:3]:
            await pool.transcribe(path)
        assert not any(task.done() for task in tasks)
        ends.set()
        await asyncio.gather(*tasks)

    run(both())


def test_the_oldest_recording_is_never_held_up_for_ever(pool, run, long_recording, write_audio):
    """Short ones come again and again: the long one gets one slice in eight."""
    slices: list[str] = []
    clip = write_audio("clip.wav", seconds=2)

    async def clips() -> None:
        while True:
            await asyncio.gather(*(pool.transcribe(clip, progress=lambda *_: slices.append("short")) for _ in range(3)))

    async def both() -> None:
        endless = asyncio.create_task(clips())
        await until(lambda: len(slices) > 5)
        await pool.transcribe(long_recording, progress=lambda *_: slices.append("long"))
        endless.cancel()
        await asyncio.wait([endless])

    run(both())
    assert slices.count("long") > 3


def test_a_live_stream_comes_before_recordings(pool, run, long_recording, speech):
    """A recording gets a slice only while no audio of the stream waits."""
    waiting: list[float] = []

    async def both() -> None:
        session = await pool.open_session()
        long = asyncio.create_task(
            pool.transcribe(long_recording, progress=lambda *_: waiting.append(session.waiting_seconds))
        )
        await until(lambda: len(waiting) > 2)
        before = len(waiting)
        await play(session, [speech[: 2 * RATE]])
        assert len(waiting) - before <= 2  # which was in progress, and one while the last events were taken
        await long

    run(both())


def test_a_cancelled_recording_and_a_cancelled_stream_leave_nothing(pool, run, long_recording, speech):
    async def cancel() -> None:
        session = await pool.open_session()
        await session.push(speech)
        done: list[float] = []
        task = asyncio.create_task(pool.transcribe(long_recording, progress=lambda *_: done.append(0)))
        await until(lambda: bool(done))
        task.cancel()
        session.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [event async for event in session.events()] == []
        assert (pool.load.files, pool.load.live_streams) == (0, 0)
        slices = len(done)
        await pool.transcribe(PATHS[0])
        assert len(done) == slices

    run(cancel())


def test_push_waits_while_too_much_audio_waits(run, speech):
    async def stopped_worker() -> None:
        async with make_pool(max_waiting_seconds=2) as pool:
            session = await pool.open_session()
            os.kill(pool.pids[0], signal.SIGSTOP)
            pushing = asyncio.create_task(session.push(np.tile(speech, 3)))
            await asyncio.sleep(1.2)
            assert not pushing.done()
            assert 1 < session.waiting_seconds <= 2
            with pytest.raises(PoolFullError, match="late: another one"):
                await pool.open_session()
            os.kill(pool.pids[0], signal.SIGCONT)
            await pushing
            session.cancel()

    run(stopped_worker())


def test_a_stream_whose_events_are_not_read_waits_and_loses_none(pool, run, transcriber, speech, monkeypatch):
    monkeypatch.setattr(pool_session, "_MOST_EVENTS", 3)

    async def stream() -> list[Any]:
        session = await pool.open_session()
        feeding = asyncio.create_task(session.push(np.tile(speech, 2)))
        await until(lambda: len(session._events) >= 3 and not session.is_ready)
        await asyncio.sleep(0.3)
        assert not feeding.done()
        assert len(session._events) < 10

        async def finish() -> None:
            await feeding
            await session.finish()

        finishing = asyncio.create_task(finish())
        events = [event async for event in session.events()]
        await finishing
        return events

    assert run(stream()) == events_alone(transcriber, np.tile(speech, 2))


def test_more_streams_and_recordings_than_the_pool_takes_are_refused(run, long_recording):
    async def full() -> None:
        async with make_pool(max_streams=2, max_files=1) as pool:
            first, _ = await pool.open_session(), await pool.open_session()
            with pytest.raises(PoolFullError, match="2 streams are live, and max_streams is 2") as refused:
                await pool.open_session()
            assert refused.value.retry_seconds > 0
            first.cancel()
            await (await pool.open_session()).finish()
            task = asyncio.create_task(pool.transcribe(long_recording))
            await until(lambda: pool.load.waiting_seconds > 100)
            with pytest.raises(PoolFullError, match="max_files is 1") as refused:
                await pool.transcribe(PATHS[0])
            assert refused.value.retry_seconds == pytest.approx(pool.load.wait_seconds, rel=0.5)
            task.cancel()

    run(full())


def test_streams_are_refused_that_the_measured_speed_does_not_allow(run, speech):
    async def measured() -> None:
        async with make_pool(max_streams=None) as pool:
            assert pool.load.live_capacity >= 1
            pool._stream_cost = RunningRatio(0.4, weight=30, horizon=120)
            assert pool.load.live_capacity == 2
            session = await pool.open_session()
            await play(session, [speech])
            assert pool._stream_cost.value != 0.4
            pool._stream_cost = RunningRatio(0.4, weight=1e9, horizon=2e9)
            for _ in range(2):
                await pool.open_session()
            with pytest.raises(PoolFullError, match=r"2 streams are live, and a second of speech takes 0\.40 s"):
                await pool.open_session()

    run(measured())


@dataclass
class StubSession:
    due: float
    is_ready: bool = True


@dataclass
class StubFile:
    number: int
    remaining_seconds: float
    is_known: bool = True
    is_begun: bool = False
    is_ready: bool = True
    wants_reading: bool = False


def make_worker(sessions: Sequence[StubSession] = (), files: Sequence[StubFile] = ()) -> PoolWorker:
    worker = PoolWorker()
    worker.is_ready = True
    worker.sessions.update(enumerate(sessions))  # type: ignore[arg-type]
    for file in files:
        file.is_begun, worker.files[file.number] = True, file  # type: ignore[assignment]
    return worker


def test_the_stream_that_is_due_first_comes_first_and_one_that_is_not_due_takes_turns_with_recordings():
    now = time.monotonic()
    later, earlier, busy = StubSession(now - 1), StubSession(now - 2), StubSession(now - 3, is_ready=False)
    file = StubFile(1, 100.0)
    worker = make_worker([later, earlier, busy], [file])
    assert [worker.next_job([file], [worker]) for _ in range(3)] == [earlier] * 3
    ahead = StubSession(now + 1000)
    worker = make_worker([ahead], [file])
    assert [worker.next_job([file], [worker]) for _ in range(4)] == [file, ahead, file, ahead]
    file.is_ready = False
    assert [worker.next_job([file], [worker]) for _ in range(2)] == [ahead] * 2


def test_the_recording_with_the_shortest_rest_comes_first_and_every_eighth_time_the_oldest():
    files = [StubFile(1, 3000.0), StubFile(2, 200.0), StubFile(3, 7.0)]
    worker = make_worker(files=files)
    assert [worker.next_job(files, [worker]) for _ in range(16)] == 2 * ([files[2]] * 7 + [files[0]])


def test_every_worker_begins_a_recording_before_one_begins_two():
    workers, files = [make_worker(), make_worker()], [StubFile(number, 100.0) for number in range(4)]
    begun = [len(worker.files) for worker in workers]
    for worker in (workers[0], workers[0], workers[1], workers[0], workers[0], workers[1]):
        worker.next_job(files, workers)
        begun += [len(worker.files) for worker in workers]
    assert begun == [0, 0, 1, 0, 1, 0, 1, 1, 2, 1, 2, 1, 2, 2]
    workers[1].files.clear()
    workers[1].is_ready = False  # which is no reason to wait
    shorter = StubFile(9, 50.0)
    workers[0].next_job([*files, shorter], workers)
    assert shorter.is_begun


def test_audio_that_comes_faster_than_real_time_is_due_later(monkeypatch, run):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr(pool_session, "time", clock)

    def make() -> PooledSession:
        calls = {"wake": lambda: None, "on_end": lambda job: None, "on_delay": None}
        return PooledSession(StreamOptions(), LIVE, sample_rate=RATE, most_waiting_seconds=1000.0, **calls)

    def due(session: PooledSession) -> list[float]:
        return [round(when, 3) for _, when in session._waiting]

    async def push() -> None:
        burst, real_time = make(), make()
        await burst.push(np.zeros(5 * RATE))
        assert due(burst) == pytest.approx([1000.0] * 6 + [1000.4, 1000.8, 1001.2, 1001.6])
        await real_time.push(np.zeros(2 * RATE))  # recorded before the stream was open
        for _ in range(100):
            clock.now += 0.1
            await real_time.push(np.zeros(RATE // 10))
        assert due(real_time)[-50:] == pytest.approx([1005.1 + 0.1 * number for number in range(50)])

    run(push())


def test_the_ratio_of_two_sums_follows_the_latest_terms():
    ratio = RunningRatio(0.5, weight=10, horizon=20)
    assert ratio.value == 0.5
    ratio.add(0, 10)
    assert ratio.value == 0.25
    for _ in range(200):
        ratio.add(2, 1)
    assert ratio.value == pytest.approx(2, rel=1e-3)


def test_cores_are_not_filled_to_their_limit():
    assert [stream_capacity(cost, 1) for cost in (0.05, 0.14, 0.3, 0.5, 0.95)] == [18, 6, 3, 1, 1]
    assert [stream_capacity(cost, 2) for cost in (0.05, 0.14, 0.5, 2.5)] == [36, 12, 3, 1]


def test_a_killed_worker_costs_its_own_jobs_and_is_replaced(run, transcriber, speech, long_recording):
    async def crash() -> None:
        async with make_pool(workers=2) as pool:
            sessions = [await pool.open_session() for _ in range(2)]
            lost = sessions[0]
            await lost.push(speech)
            victim = pool._workers[0].child.pid
            os.kill(victim, signal.SIGKILL)
            with pytest.raises(WorkerEndedError, match=r"the worker process ended \(signal 9, Killed"):
                await lost.finish()
            with pytest.raises(WorkerEndedError):
                await lost.push(speech)
            assert await play(sessions[1], [speech]) == events_alone(transcriber, speech)
            await until(lambda: pool.load.workers == 2)
            assert victim not in pool.pids

            begun: list[float] = []
            tasks = [asyncio.create_task(pool.transcribe(long_recording, progress=lambda *_: begun.append(0)))]
            await until(lambda: bool(begun))
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerEndedError):
                await tasks[0]
            assert await pool.transcribe(PATHS[0]) == transcriber.transcribe(PATHS[0])

    run(crash())


def test_an_idle_worker_that_is_killed_costs_nothing(run, transcriber):
    async def crash() -> None:
        async with make_pool() as pool:
            os.kill(pool.pids[0], signal.SIGKILL)
            assert await pool.transcribe(PATHS[0]) == transcriber.transcribe(PATHS[0])

    run(crash())


def test_a_fault_of_the_pool_ends_what_waits_for_it(run, monkeypatch):
    async def fault() -> None:
        pool = make_pool()
        await pool.start()
        monkeypatch.setattr(pool._workers[0], "next_job", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            await pool.transcribe(PATHS[0])
        with pytest.raises(PoolClosedError):
            await pool.open_session()
        with pytest.raises(ZeroDivisionError):
            await pool.close()
        assert not pool.pids or all(is_gone(pid) for pid in pool.pids)

    run(fault())


def test_what_was_begun_is_finished_before_a_pool_closes(run, transcriber, speech, long_recording):
    async def close() -> None:
        before = child_processes()
        pool = make_pool(workers=2)
        await pool.start()
        session = await pool.open_session()
        await session.push(speech[: 6 * RATE])
        tasks = [asyncio.create_task(pool.transcribe(path)) for path in (long_recording, *PATHS[:2])]
        await until(lambda: pool.load.files == 3)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        with pytest.raises(PoolClosedError, match="the pool is closed"):
            await pool.transcribe(PATHS[0])
        with pytest.raises(PoolClosedError, match="the pool is closed"):
            await pool.open_session()
        assert [event async for event in session.events()] == events_alone(transcriber, speech[: 6 * RATE])
        assert await tasks[1] == transcriber.transcribe(PATHS[0])
        assert (await tasks[0]).duration > 100
        await closing
        await pool.close()
        assert child_processes() <= before

    run(close())


def test_a_pool_that_closes_at_once_ends_all_that_was_begun(run, speech, long_recording):
    async def close() -> None:
        before = child_processes()
        pool = make_pool()
        await pool.start()
        session = await pool.open_session()
        await session.push(speech[: 2 * RATE])
        begun: list[float] = []
        task = asyncio.create_task(pool.transcribe(long_recording, progress=lambda *_: begun.append(0)))
        await until(lambda: bool(begun))
        await pool.close(finish=False)
        with pytest.raises(PoolClosedError, match="the pool was closed"):
            await task
        with pytest.raises(PoolClosedError, match="the pool was closed"):
            await session.push(speech)
        assert child_processes() <= before

    run(close())


def test_no_process_outlives_a_program_that_is_killed():
    code = f"""
import asyncio
from asr.recognition.pool import Pool
async def main():
    pool = Pool("tiny", workers=2)
    await pool.start()
    await pool.transcribe({str(PATHS[0])!r})
    print(*pool.pids, *pool._readers._pool.pids, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) >= 4
        program.kill()
    end = time.monotonic() + 20
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_pool_that_cannot_work_says_why_and_leaves_nothing(run):
    before = child_processes()
    with pytest.raises(ConfigError, match="workers=-1: it must be at least 0"):
        make_pool(workers=-1)
    pool = Pool("tiny", decoder=AutoConfig(hotwords=["жук"]), workers=2)
    with pytest.raises(ConfigError, match=r"decoder\.hotwords"):
        run(pool.start())
    assert child_processes() <= before
    with pytest.raises(PoolClosedError):
        run(pool.transcribe(PATHS[0]))


def test_hot_words_that_cannot_be_spelled_are_an_error_of_the_job(pool, run):
    decoder = AutoConfig(hotwords=["жук"])
    with pytest.raises(ConfigError, match=r"decoder\.hotwords"):
        run(pool.transcribe(PATHS[0], RecordingOptions(decoder=decoder)))
    with pytest.raises(ConfigError, match=r"decoder\.hotwords"):
        run(pool.open_session(StreamOptions(decoder=decoder)))


def test_a_decoder_is_made_while_other_jobs_go_on(monkeypatch):
    """A new hot word takes a third of a second: in one piece, every other stream would be late."""
    worker = pool_worker._Worker(pool_worker.WorkerSettings(str(load_bundle("tiny").path), DECODER))
    make, may_go_on = worker._make_transcriber, threading.Event()

    def slowly(*arguments: Any) -> Transcriber:
        assert may_go_on.wait(60)
        return make(*arguments)

    monkeypatch.setattr(worker, "_make_transcriber", slowly)
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) / 10
    hot = pool_worker.StreamStart(AutoConfig(beam_width=4, hotwords=["christ"]), LIVE)
    answer = worker.answer(pool_worker.SliceRequest(1, hot, noise, RATE, last=True))
    assert (answer.is_preparing, answer.is_idle, answer.results) == (True, False, [])
    other = worker.answer(pool_worker.SliceRequest(2, pool_worker.StreamStart(None, LIVE), noise, RATE))
    assert not other.is_preparing
    assert other.done_seconds > 0
    assert worker.answer(pool_worker.SliceRequest(1)).is_preparing
    may_go_on.set()
    events = []
    while not answer.is_idle:
        answer = worker.answer(pool_worker.SliceRequest(1))
        assert answer.error is None
        events += answer.results
    session = Session("tiny", decoder=hot.decoder, live=LIVE)
    assert events == [*session.push(noise), *session.finish()]
    # The next stream with these words has them at once.
    assert not worker.answer(pool_worker.SliceRequest(3, hot)).is_preparing


def test_a_session_whose_decoder_is_made_lets_others_pass():
    session = PooledSession(
        StreamOptions(), LIVE, sample_rate=RATE, most_waiting_seconds=5, wake=lambda: None,
        on_end=lambda _: None, on_delay=None,
    )  # fmt: skip
    session.request()
    session.take(pool_worker.SliceAnswer([], False, 0.03, 0.0, 0.0, is_preparing=True))
    assert session.is_ready
    assert session.due > time.monotonic()
    assert not session._opened.is_set()
    session.take(pool_worker.SliceAnswer([], True, 0.0, 0.0, 0.0))
    assert session._opened.is_set()


def test_idle_workers_process_windows_of_a_recording_and_its_text_stays_the_same(
    run, transcriber, long_recording, speech, write_audio
):
    """The text, words and alternatives of the command, bit for bit; a short recording still comes first."""
    helped: list[int] = []

    async def main() -> tuple[Any, Any, float]:
        async with make_pool(workers=3) as pool:
            help_with = pool._help

            async def counted(worker: PoolWorker, *found: Any) -> None:
                helped.append(pool._workers.index(worker))
                await help_with(worker, *found)

            pool._help = counted  # type: ignore[method-assign]
            long = asyncio.create_task(pool.transcribe(long_recording))
            await until(lambda: len(helped) > 3)
            short = await pool.transcribe(write_audio("short.wav", speech[: 2 * RATE]))
            left = pool.load.waiting_seconds
            return await long, short, left

    long, short, left = run(main())
    assert long == transcriber.transcribe(long_recording)
    assert short.duration == 2.0
    assert left > 0
    assert len(set(helped)) > 1


def test_a_worker_that_ends_while_it_helps_costs_nothing(run, transcriber, long_recording):
    """The window is processed by the worker that has the recording."""
    killed: list[int] = []

    async def main() -> Any:
        async with make_pool(workers=2) as pool:
            help_with = pool._help

            async def killing(worker: PoolWorker, *found: Any) -> None:
                if not killed:
                    killed.append(worker.child.pid)
                    os.kill(worker.child.pid, signal.SIGKILL)
                await help_with(worker, *found)

            pool._help = killing  # type: ignore[method-assign]
            return await pool.transcribe(long_recording)

    assert run(main()) == transcriber.transcribe(long_recording)
    assert killed


def test_a_worker_with_live_streams_does_not_help():
    job = SimpleNamespace(remaining_seconds=100.0, number=1, window_to_help=lambda: "window")
    assert make_worker().next_window([job]) == (job, "window")
    assert make_worker([StubSession(time.monotonic())]).next_window([job]) is None
    nearly = SimpleNamespace(remaining_seconds=10.0, number=2, window_to_help=lambda: "another")
    assert make_worker().next_window([job, nearly]) == (nearly, "another")
