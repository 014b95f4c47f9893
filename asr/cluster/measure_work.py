"""What a worker does for `asr doctor`: measures one recording after the other."""

from __future__ import annotations

from collections.abc import Callable

from asr.audio.measure import Sound
from asr.audio.readers import Readers
from asr.cluster.dispatch import Attempt
from asr.cluster.work_recording import Copies, WorkRecording, shown_error
from asr.errors import AudioError


def make_measuring(_first: None) -> Callable[[Attempt], Sound]:
    """The handler of a worker: it takes a `WorkRecording`, and raises `AudioError` for one that cannot be read."""
    readers, copies = Readers(), Copies()

    def measure(attempt: Attempt) -> Sound:
        recording: WorkRecording = attempt.request
        try:
            with copies.local(recording) as source:
                return readers.measure(source)
        except AudioError as error:
            raise shown_error(error, recording) from None

    return measure
