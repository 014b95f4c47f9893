"""What a worker does for `asr doctor`: measures one recording after the other."""

from __future__ import annotations

from asr.audio.measure import Sound
from asr.audio.readers import Readers
from asr.cluster.dispatch import Attempt
from asr.cluster.work_recording import Copies, WorkRecording, shown_error
from asr.cluster.worker_start import Handler, one_by_one
from asr.errors import AudioError


def make_measuring(_first: None) -> Handler:
    """The handler of a worker: it takes a `WorkRecording` and gives a `Sound`, or `AudioError` if it cannot be read."""
    readers, copies = Readers(), Copies()

    def measure(attempt: Attempt) -> Sound:
        recording: WorkRecording = attempt.request
        try:
            with copies.local(recording) as source:
                return readers.measure(source)
        except AudioError as error:
            raise shown_error(error, recording) from None

    return one_by_one(measure)
