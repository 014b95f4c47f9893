"""Plans the transcription of a large archive: core-hours, wall time, disk and network, from rates that you measure.

    python scripts/plan_archive.py --hours 100000 --cores 64 256 1000
    python scripts/plan_archive.py --hours 100000 --measure en

`--measure BUNDLE` transcribes the samples of the repository on one core here, and takes the core-seconds an hour and
the bytes of a transcript from that; otherwise the rates are those of the options. It is a plan, not a measurement: it
multiplies rates. Prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parents[1] / "data" / "samples"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What an hour of audio takes."""

    core_seconds: float
    """of computing an hour of audio, with reading"""
    audio_mb: float
    """megabytes (10^6 bytes) of an hour of audio as it is stored"""
    text_kb: float
    """kilobytes of an hour's transcript"""
    minutes_a_recording: float
    """mean length of a recording"""
    overhead_seconds: float
    """core-seconds of a recording beside its audio: its place in the queue, the journal, the output"""
    busy_share: float
    """of the time that the workers compute: the others wait for files, or for the last ones"""


@dataclass(frozen=True)
class Plan:
    """What an archive takes on so many cores."""

    cores: int
    core_hours: float
    wall_hours: float
    audio_tb: float
    text_gb: float
    recordings: int
    read_mb_per_second: float
    """over all nodes, while it runs"""
    outputs_per_second: float


def plan(hours: float, cores: int, rates: Rates) -> Plan:
    """Multiply the rates.

    Examples
    --------
    >>> rates = Rates(core_seconds=18, audio_mb=115.2, text_kb=50, minutes_a_recording=60, overhead_seconds=0,
    ...               busy_share=1.0)
    >>> one = plan(100_000, 100, rates)
    >>> one.core_hours, one.wall_hours, one.audio_tb, one.read_mb_per_second
    (500.0, 5.0, 11.52, 640.0)
    """
    recordings = round(60 * hours / rates.minutes_a_recording)
    core_seconds = hours * rates.core_seconds + recordings * rates.overhead_seconds
    wall_seconds = core_seconds / (cores * rates.busy_share)
    return Plan(
        cores=cores,
        core_hours=round(core_seconds / 3600, 1),
        wall_hours=round(wall_seconds / 3600, 2),
        audio_tb=round(hours * rates.audio_mb / 1e6, 2),
        text_gb=round(hours * rates.text_kb / 1e6, 2),
        recordings=recordings,
        read_mb_per_second=round(hours * rates.audio_mb / wall_seconds, 1),
        outputs_per_second=round(recordings / wall_seconds, 2),
    )


def measure(bundle: str, rounds: int = 10) -> dict[str, float]:
    """Core-seconds of an hour of audio on one core, without the start, and kilobytes of an hour's transcript (JSON)."""
    from asr import Transcriber, load_bundle, write
    from asr.machine import usage

    paths = sorted(SAMPLES.glob("*.opus")) * rounds
    with tempfile.TemporaryDirectory():
        transcriber = Transcriber(load_bundle(bundle), workers=1)
        transcriber.transcribe(paths[0])
        before = usage()
        transcripts = list(transcriber.transcribe_files(paths, errors="raise"))
        transcriber.close()  # which adds the readers' time
        seconds = sum(one.duration for one in transcripts)
        core_seconds = usage().core_seconds - before.core_seconds
    size = sum(len(write(one, "json").encode()) for one in transcripts)
    return {"core_seconds": round(3600 * core_seconds / seconds, 2), "text_kb": round(3600 * size / seconds / 1000, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=100_000.0)
    parser.add_argument("--cores", type=int, nargs="+", default=[64, 256, 1000])
    parser.add_argument("--core-seconds", type=float, default=27.0, help="for an hour of audio (docs/models.md)")
    parser.add_argument("--audio-mb", type=float, default=115.2, help="an hour: 115.2 is WAV, 16 kHz, 16 bits, mono")
    parser.add_argument("--text-kb", type=float, default=1270.0, help="an hour of transcript as JSON")
    parser.add_argument("--minutes", type=float, default=30.0, help="mean length of a recording")
    parser.add_argument("--overhead-seconds", type=float, default=0.02, help="core-seconds of a recording")
    parser.add_argument("--busy-share", type=float, default=0.9)
    parser.add_argument("--measure", metavar="BUNDLE", help="measure core-seconds and text here")
    options = parser.parse_args()
    values: dict[str, Any] = {
        "core_seconds": options.core_seconds,
        "audio_mb": options.audio_mb,
        "text_kb": options.text_kb,
        "minutes_a_recording": options.minutes,
        "overhead_seconds": options.overhead_seconds,
        "busy_share": options.busy_share,
    }
    if options.measure:
        values |= measure(options.measure)
    rates = Rates(**values)
    plans = [plan(options.hours, cores, rates) for cores in options.cores]
    for name, value in asdict(rates).items():
        print(f"{name:24}{value:>14,}")
    print()
    for name in asdict(plans[0]):
        print(f"{name:24}" + "".join(f"{getattr(one, name):>14,}" for one in plans))
    print(json.dumps({"hours": options.hours, "rates": asdict(rates), "plans": [asdict(one) for one in plans]}))


if __name__ == "__main__":
    main()
