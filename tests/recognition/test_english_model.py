"""The English model that ships stays as good and as quick as it was when it was made."""

from __future__ import annotations

import time

import pytest

from asr import GreedyConfig, Transcriber, load_bundle, score
from asr.corpus.manifest import read_manifest

from ..conftest import SHARED_SPEECH

HELD_OUT = SHARED_SPEECH / "librispeech" / "dev-clean-heldout.jsonl"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HELD_OUT.exists(), reason="needs the corpora of ../shared/speech"),
]


def test_sixty_utterances_have_no_more_errors_than_when_the_model_was_made():
    utterances = read_manifest(HELD_OUT).utterances[::8][:60]
    texts, seconds = {}, {}
    for name, decoder in (("default", None), ("greedy", GreedyConfig())):
        with Transcriber(load_bundle("en"), decoder=decoder, workers=1) as transcriber:
            transcriber.transcribe(utterances[0].audio)
            started = time.process_time()
            found = transcriber.transcribe_files([one.audio for one in utterances], errors="raise")
            texts[name] = [one.text for one in found]
            seconds[name] = time.process_time() - started
    references = [one.text or "" for one in utterances]
    rates = {name: score(references, found).words.rate for name, found in texts.items()}
    assert rates["default"] < 0.11, rates
    assert rates["greedy"] < 0.43, rates
    # What the beam search with its language model costs, as a ratio: this does not depend on the machine.
    assert seconds["default"] < 5 * seconds["greedy"], seconds
