"""What a worker does for `asr evaluate`: recognises the recordings of a group with the decoders of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from asr.audio.segment import AudioSource
from asr.cluster.dispatch import Attempt
from asr.cluster.work_recording import Copies, Recognizer, on_this_node, recognize_group
from asr.cluster.worker_start import Handler
from asr.errors import AudioError
from asr.recognition.evaluate import Candidate, UtteranceResult, recognize_recordings


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """What all recordings have in common."""

    recognizers: tuple[Recognizer, ...]
    """of one bundle, each with the decoder of a candidate"""
    frame_seconds: float
    spikes: bool


def make_recognition(job: EvaluationJob) -> Handler:
    """The handler of a worker: it takes `WorkRecording`s. Each gives an `UtteranceResult`, or an `AudioError` if it
    cannot be read."""
    first = job.recognizers[0]
    bundle, readers, copies = first.load_bundle(), first.readers(), Copies()
    transcribers = [first.transcriber(bundle, readers, one.decoder) for one in job.recognizers]
    group = [Candidate(bundle, on_this_node(one.decoder, bundle), one.bundle) for one in job.recognizers]

    def recognize(sources: Iterable[AudioSource]) -> Iterator[UtteranceResult | AudioError]:
        return recognize_recordings(transcribers, group, sources, frame_seconds=job.frame_seconds, spikes=job.spikes)

    def handle(attempts: Sequence[Attempt]) -> Iterator[tuple[int, UtteranceResult | AudioError]]:
        return recognize_group([attempt.request for attempt in attempts], copies, recognize)

    return handle
