"""Measures what length costs: word errors, word times and memory of recordings joined from known utterances.

    python scripts/bench/long_recording.py ../shared/speech/librispeech/dev-clean-heldout.jsonl

The utterances are joined in random order, without a pause, and transcribed as one recording; errors are compared with
those of the utterances alone. Times of words that both write alike are compared with their times in the utterances,
moved by where those were put. Then the first of these recordings is repeated to fill ten hours (--hours), to see
whether times drift and memory grows. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from transcribe import run

from asr.audio.load import Samples, load_audio
from asr.bundle import load_bundle
from asr.corpus.manifest import read_manifest
from asr.evaluation.scoring import score
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import FROM_BUNDLE, AutoConfig
from asr.text.normalize import normalize_text
from asr.text.transcript import Word

RATE = 16000


def time_errors(words: list[Word], expected: list[Word]) -> npt.NDArray[np.float64]:
    """Seconds by which starts and ends differ, of words that both have."""
    matcher = SequenceMatcher(None, [one.text for one in words], [one.text for one in expected], autojunk=False)
    return np.array(
        [
            (words[i + k].start - expected[j + k].start, words[i + k].end - expected[j + k].end)
            for i, j, size in matcher.get_matching_blocks()
            for k in range(size)
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--lm", help="decode with this language model instead of the bundle's")
    parser.add_argument("--joins", type=int, default=5)
    parser.add_argument("--hours", type=float, default=10.0)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    decoder = AutoConfig(lm=arguments.lm or FROM_BUNDLE)
    transcriber = Transcriber(bundle, decoder=decoder)
    utterances = read_manifest(arguments.manifest).utterances
    references = [normalize_text(one.text or "", bundle.normalizer) for one in utterances]
    speech = [load_audio(one.audio, sample_rate=RATE) for one in utterances]
    alone = [transcriber.transcribe_samples(samples) for samples in speech]
    joins, first = [], np.zeros(0, np.float32)
    for seed in range(1, arguments.joins + 1):
        order = np.random.default_rng(seed).permutation(len(utterances))
        joined: Samples = np.concatenate([speech[index] for index in order])
        first = joined if seed == 1 else first
        transcript = transcriber.transcribe_samples(joined)
        reference = " ".join(references[index] for index in order)
        expected, offset = [], 0.0
        for index in order:
            expected += [Word(one.text, offset + one.start, offset + one.end) for one in alone[index].words]
            offset += len(speech[index]) / RATE
        # Both as one text: an alignment over the borders of utterances is not held against either.
        before = score([reference], [" ".join(alone[index].text for index in order)]).words
        after = score([reference], [transcript.text]).words
        off = np.abs(time_errors(list(transcript.words), expected))
        joins.append(
            (100 * (before.rate or 0), 100 * (after.rate or 0), float(np.median(off)), float(np.percentile(off, 95)))
        )
        print(f"join {seed}: WER {joins[-1][0]:.2f} % alone, {joins[-1][1]:.2f} % joined; words off by "
              f"{1000 * joins[-1][2]:.0f} ms (median), {1000 * joins[-1][3]:.0f} ms (95 %)")  # fmt: skip
    differences = [after - before for before, after, _, _ in joins]
    figures: dict[str, float] = {
        "wer_alone": float(np.mean([one[0] for one in joins])),
        "wer_joined": float(np.mean([one[1] for one in joins])),
        "largest_difference": max(differences),
        "median_time_error_seconds": max(one[2] for one in joins),
    }
    if arguments.hours:
        if arguments.hours * 3600 * RATE < 2 * len(first):
            parser.error(f"--hours: the joined recording takes {len(first) / RATE / 3600:.2f} h, and is to be repeated")
        with tempfile.TemporaryDirectory(prefix="asr-long-") as folder:
            path = Path(folder) / "long.flac"
            with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
                missing = int(arguments.hours * 3600 * RATE)
                while missing > 0:
                    file.write(first[:missing])
                    missing -= len(first)
            command = [
                sys.executable,
                "-m",
                "asr",
                "transcribe",
                str(path),
                f"bundle={arguments.bundle}",
                "format=json",
            ]
            if arguments.lm:
                command.append(f"decoder.lm={arguments.lm}")
            done = run(command)
        result = json.loads(done.output)
        words = [Word(one["text"], one["start"], one["end"]) for one in result["words"]]
        length = len(first) / RATE
        rounds = [[one for one in words if number * length <= one.start < (number + 1) * length]
                  for number in range(int(result["duration"] // length))]  # fmt: skip
        moved = [Word(one.text, one.start - length * (len(rounds) - 1), one.end - length * (len(rounds) - 1))
                 for one in rounds[-1]]  # fmt: skip
        drift = float(np.median(time_errors(moved, rounds[0])))
        figures |= {
            "hours": arguments.hours,
            "hours_seconds": done.wall,
            "drift_seconds": drift,
            "peak_mb": done.megabytes,
        }
        print(f"{arguments.hours:g} hours in {done.wall:.0f} s; the last repetition's words are off by "
              f"{1000 * drift:.0f} ms; {done.megabytes:.0f} MB at most")  # fmt: skip
    print(json.dumps({name: round(one, 4) for name, one in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
