"""`asr.transcribe` in a loop starts nothing twice."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import asr
from asr.bundle import load_bundle
from asr.decoding import make_decoder
from asr.decoding.pronunciation_lexicon import PronunciationLexicon
from asr.recognition import shared
from asr.recognition.transcriber import Transcriber

from ..conftest import SAMPLES
from ..test_processes import is_gone, run, wait_until

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]


@pytest.fixture
def counts(monkeypatch):
    """How many processes are started and decoders are made: a decoder's words take the time."""
    monkeypatch.setattr(shared, "_transcribers", type(shared._transcribers)())
    found = {"processes": 0, "decoders": 0}
    popen = subprocess.Popen

    def start(*arguments, **settings):
        found["processes"] += 1
        return popen(*arguments, **settings)

    def make(*arguments, **settings):
        found["decoders"] += 1
        return make_decoder(*arguments, **settings)

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr("asr.recognition.stretch_decoding.make_decoder", make)
    yield found
    gc.collect()


def test_five_calls_start_one_process_and_make_one_lexicon(counts, monkeypatch):
    """Of the English model, whose decoder holds the pronunciations of 100,000 words."""
    lexica = []
    build = PronunciationLexicon.build
    monkeypatch.setattr(PronunciationLexicon, "build", lambda *one: (lexica.append(1), build(*one))[1])
    texts = {asr.transcribe(SAMPLE).text for _ in range(5)}
    assert len(texts) == 1
    assert counts == {"processes": 1, "decoders": 1}
    assert len(lexica) == 1


def test_bundles_and_decoders_are_distinguished(counts, tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    for _ in range(2):
        asr.transcribe(SAMPLE, bundle=str(tiny_bundle))
        asr.transcribe(SAMPLE, bundle=tiny_bundle)
        asr.transcribe(SAMPLE, bundle=bundle)
        asr.transcribe(SAMPLE, bundle=bundle, decoder=asr.GreedyConfig())
        asr.transcribe(SAMPLE, bundle=bundle, decoder=asr.BeamConfig(beam_width=3))
    assert counts == {"processes": 4, "decoders": 4}
    settings = asr.BeamConfig(beam_width=3)
    asr.transcribe(SAMPLE, bundle=bundle, decoder=settings)
    settings.beam_width = 5  # the same object, another decoder
    asr.transcribe(SAMPLE, bundle=bundle, decoder=settings)
    assert counts["decoders"] == 5


def test_a_bundle_or_a_file_of_words_that_changed_is_read_again(counts, tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle, tmp_path / "copy")
    words = tmp_path / "words.txt"
    words.write_text("cat\n")

    def transcribe() -> None:
        asr.transcribe(SAMPLE, bundle=tmp_path / "copy", decoder=asr.BeamConfig(hotwords_file=str(words)))

    transcribe()
    transcribe()
    assert counts["decoders"] == 1
    words.write_text("dog and cat\n")
    transcribe()
    assert counts["decoders"] == 2
    os.utime(tmp_path / "copy" / "bundle.json", (1, 1))
    transcribe()
    assert counts["decoders"] == 3


def test_few_transcribers_are_kept_and_the_others_end_their_processes(counts, tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    asr.transcribe(SAMPLE, bundle=bundle, decoder=asr.BeamConfig(beam_width=1))
    (first,) = shared._transcribers.values()
    pids = first._readers._pool.pids
    del first
    for width in range(2, 7):
        asr.transcribe(SAMPLE, bundle=bundle, decoder=asr.BeamConfig(beam_width=width))
    assert len(shared._transcribers) == 4
    gc.collect()
    wait_until(lambda: all(map(is_gone, pids)))


def test_threads_share_one_transcriber(counts, tiny_bundle):
    barrier = threading.Barrier(4)

    def transcribe(_: int) -> str:
        barrier.wait(60)
        return asr.transcribe(SAMPLE, bundle=tiny_bundle).text

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(transcribe, range(4)))) == 1
    assert counts["decoders"] == 1
    assert counts["processes"] <= 4


def test_a_forked_process_has_its_own_and_nothing_is_left_at_exit(tiny_bundle):
    code = f"""
import os, sys, threading
import asr
from asr.recognition import shared
def text(): return asr.transcribe({str(SAMPLE)!r}, bundle={str(tiny_bundle)!r}).text
expected = text()
(transcriber,) = shared._transcribers.values()
with shared._lock, transcriber.pipeline._cores:  # as if another thread was at work
    if not (child := os.fork()):
        sys.exit(0 if text() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
assert text() == expected
print(*transcriber._readers._pool.pids)
"""
    done = run(code)
    assert done.stderr == ""
    (pid,) = done.stdout.split()
    assert is_gone(int(pid))


def test_a_transcriber_is_closed_by_its_block_and_of_no_use_afterwards(tiny_bundle):
    with Transcriber(load_bundle(tiny_bundle)) as transcriber:
        transcriber.transcribe(SAMPLE)
        pids = transcriber._readers._pool.pids
    assert len(pids) == 1
    assert all(map(is_gone, pids))
    with pytest.raises(RuntimeError, match="this Transcriber is closed"):
        transcriber.transcribe(SAMPLE)
    transcriber.close()


def test_a_transcriber_that_is_forgotten_ends_its_processes(tiny_bundle):
    transcriber = Transcriber(load_bundle(tiny_bundle))
    transcriber.transcribe(SAMPLE)
    pids = transcriber._readers._pool.pids
    del transcriber
    gc.collect()
    wait_until(lambda: all(map(is_gone, pids)))


def test_readers_that_were_given_stay_open(tiny_bundle):
    from asr.audio.readers import Readers

    with Readers() as readers:
        with Transcriber(load_bundle(tiny_bundle), readers=readers) as transcriber:
            transcriber.transcribe(SAMPLE)
        assert len(readers.load(SAMPLE, sample_rate=16000))
