"""What a worker does for `asr evaluate`: recognises one recording after the other with the decoders of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asr.cluster.dispatch import Attempt
from asr.cluster.work_recording import Copies, Recognizer, WorkRecording, on_this_node, shown_error
from asr.errors import AudioError
from asr.recognition.evaluate import Candidate, UtteranceResult, recognize_utterance


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """What all recordings have in common."""

    recognizers: tuple[Recognizer, ...]
    """of one bundle, each with the decoder of a candidate"""
    frame_seconds: float
    spikes: bool


def make_recognition(job: EvaluationJob) -> Callable[[Attempt], UtteranceResult]:
    """The handler of a worker: it takes a `WorkRecording`, and raises `AudioError` for one that cannot be read."""
    first = job.recognizers[0]
    bundle, readers, copies = first.load_bundle(), first.readers(), Copies()
    transcribers = [first.transcriber(bundle, readers, one.decoder) for one in job.recognizers]
    group = [Candidate(bundle, on_this_node(one.decoder, bundle), one.bundle) for one in job.recognizers]

    def recognize(attempt: Attempt) -> UtteranceResult:
        recording: WorkRecording = attempt.request
        try:
            with copies.local(recording) as source:
                result = recognize_utterance(
                    transcribers, group, source, frame_seconds=job.frame_seconds, spikes=job.spikes
                )
        except AudioError as error:
            result = error
        if isinstance(result, AudioError):
            raise shown_error(result, recording)
        return result

    return recognize
