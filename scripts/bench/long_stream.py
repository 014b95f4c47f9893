"""Recognises a stream of many hours, and shows that memory and computing time stay as they are.

    python scripts/bench/long_stream.py --hours 10 --bundle tiny

The recordings of the repository follow each other, over and over, as fast as they can be recognised. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from asr import Session
from asr.audio.load import load_audio
from asr.recognition.live_events import Final

RATE = 16000
SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"


def resident_megabytes() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--rows", type=int, default=8, help="lines of the table")
    arguments = parser.parse_args()
    pause = np.zeros(3 * RATE // 4, np.float32)
    parts = [part for path in sorted(SAMPLES.glob("*.opus")) for part in (load_audio(path, sample_rate=RATE), pause)]
    samples = np.concatenate(parts)
    session = Session(arguments.bundle)
    rows: list[dict[str, float]] = []
    words, began, since = 0, time.process_time(), 0.0
    print("   hours    memory  core-seconds a second  words a minute")
    while session.position < arguments.hours * 3600:
        for start in range(0, len(samples), RATE // 10):
            events = session.push(samples[start : start + RATE // 10])
            words += sum(len(event.words) for event in events if isinstance(event, Final))
        if session.position >= (len(rows) + 1) * arguments.hours * 3600 / arguments.rows:
            spent, seconds = time.process_time() - began, session.position - since
            rows.append(
                {
                    "hours": round(session.position / 3600, 3),
                    "megabytes": round(resident_megabytes(), 1),
                    "core_seconds_per_second": round(spent / seconds, 4),
                    "words_per_minute": round(60 * words / seconds, 1),
                }
            )
            hours, megabytes, cost, pace = rows[-1].values()
            print(f"{hours:8.2f} {megabytes:6.0f} MB {cost:22.4f} {pace:15.1f}", flush=True)
            words, began, since = 0, time.process_time(), session.position
    print(json.dumps({"bundle": arguments.bundle, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
