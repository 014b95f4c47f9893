"""What becomes of whole, cut, joined and piped recordings, container by container: docs/audio-formats.md says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.audio.load import load_audio, probe_seconds
from asr.errors import AudioError

from ..conftest import REPOSITORY
from .containers import ALL, ERROR, FREQUENCY, NEVER, POLICY, READ, Kind, Row, missing, write, write_to_pipe

RATE = 16000
SECONDS = 2.0
# Two frames of a codec at either end (AAC at 16 kHz: 64 ms each), or the samples that fill up its last block.
DELAY = 0.14

KINDS = [
    pytest.param(
        row, kind, id=f"{row.container}-{kind.muxer}-{kind.codec}",
        marks=[pytest.mark.skip(reason=reason)] if (reason := missing(kind)) else [],
    )
    for row in POLICY for kind in row.kinds
]  # fmt: skip


def seconds_of(content: bytes, folder: Path, kind: Kind | None = None) -> float:
    path = folder / "recording"
    path.write_bytes(content)
    samples = load_audio(path, sample_rate=RATE)
    if kind and len(samples) > RATE // 2:
        spectrum = np.abs(np.fft.rfft(samples[len(samples) // 4 : -len(samples) // 4]))
        assert spectrum.argmax() * RATE / (2 * (len(spectrum) - 1)) == pytest.approx(FREQUENCY, abs=8)
    return len(samples) / RATE


@pytest.mark.parametrize(("row", "kind"), KINDS)
def test_a_whole_file_is_read_whole(row: Row, kind: Kind, tmp_path):
    content = write(kind, SECONDS)
    assert seconds_of(content, tmp_path, kind) == pytest.approx(SECONDS, abs=DELAY)
    assert probe_seconds(tmp_path / "recording") == pytest.approx(SECONDS, abs=DELAY)


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize(("row", "kind"), KINDS)
def test_a_truncated_file_is_an_error_where_its_header_states_a_size(row: Row, kind: Kind, share: float, tmp_path):
    content = write(kind, SECONDS)
    cut = content[: int(share * len(content))]
    if row.cut == READ:
        assert seconds_of(cut, tmp_path) == pytest.approx(share * SECONDS, abs=2 * DELAY)
        return
    with pytest.raises(AudioError, match="truncated"):
        seconds_of(cut, tmp_path)


@pytest.mark.parametrize(("row", "kind"), KINDS)
def test_joined_files_are_read_whole_or_refused(row: Row, kind: Kind, tmp_path):
    content = write(kind, SECONDS)
    assert row.joined in (ALL, ERROR)
    if row.joined == ALL:
        assert seconds_of(content + content, tmp_path, kind) == pytest.approx(2 * SECONDS, abs=2 * DELAY)
        assert probe_seconds(tmp_path / "recording") == pytest.approx(2 * SECONDS, abs=2 * DELAY)
    else:
        with pytest.raises(AudioError):
            seconds_of(content + content, tmp_path)


@pytest.mark.parametrize(("row", "kind"), KINDS)
def test_what_was_written_to_a_pipe_is_whole(row: Row, kind: Kind, tmp_path):
    if row.pipe == NEVER:
        pytest.skip("FFmpeg does not write it to a pipe")
    content = write_to_pipe(kind, SECONDS)
    assert seconds_of(content, tmp_path, kind) == pytest.approx(SECONDS, abs=DELAY)


def test_the_documentation_states_the_policy_that_is_tested():
    text = (REPOSITORY / "docs" / "audio-formats.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    stated = {(row[0], *row[2:]) for row in rows[2:]}
    assert stated == {(row.container, row.cut, row.joined, row.pipe) for row in POLICY}
