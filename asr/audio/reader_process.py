"""The other end of `asr.audio.readers`: reads recordings for its parent, which may lose it at any time.

Requests come on standard input, one line of JSON each: with a path, to open a recording; empty, for what comes next of
it. Each is answered on standard output by one letter, a length, and as many bytes.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from asr.audio.load import open_audio
from asr.audio.readers import BLOCK, END, GREETING, HEADER, PROMISE, REFUSAL
from asr.audio.segment import AudioSegment, AudioSource
from asr.errors import AudioError

# More than any sane recording needs, less than what brings a laptop to its knees.
_MEMORY_BYTES = 4 << 30
_GRACE_SECONDS = 60


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who then closes our input
    _limit_resources()
    # What a library prints must not get between the answers.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import soundfile  # noqa: F401  # before the first request comes

    answers: Iterator[tuple[bytes, bytes]] = iter(())
    with suppress(BrokenPipeError):
        _send(output, GREETING, b"")
        for line in sys.stdin.buffer:
            request = json.loads(line)
            if request:
                answers = _read(request)
                patience = request["timeout"]
            # A parent that waits in vain ends us; should it be gone, nobody else would.
            signal.alarm(int(patience) + _GRACE_SECONDS)
            kind, content = next(answers)
            signal.alarm(0)
            _send(output, kind, content)
    with suppress(BrokenPipeError):
        output.close()


def _send(output: IO[bytes], kind: bytes, content: bytes) -> None:
    output.write(HEADER.pack(kind, len(content)))
    output.write(content)
    output.flush()


def _read(request: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    path = Path(os.fsdecode(bytes.fromhex(request["path"])))
    source: AudioSource = AudioSegment(path, *request["segment"]) if request["segment"] else path
    try:
        with open_audio(source, track=request["track"]) as recording:
            yield PROMISE, str(recording.promised_seconds).encode()
            for block in recording.samples(sample_rate=request["sample_rate"], channel=request["channel"]):
                yield BLOCK, block.tobytes()
        yield END, json.dumps(list(recording.notes)).encode() if recording.notes else b""
    except AudioError as error:
        yield REFUSAL, error.reason.encode("utf-8", "replace")
    except MemoryError:
        yield REFUSAL, b"takes more memory to decode than any sane recording"
    except Exception as error:  # whatever a decoder makes of a broken file: it is the file's fault
        yield REFUSAL, f"cannot be decoded ({type(error).__name__}: {error})".encode("utf-8", "replace")


def _limit_resources() -> None:
    for kind, value in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # a system that knows no such limit, or a lower one that holds already
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
