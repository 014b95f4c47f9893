"""Transcribes a manifest with PocketSphinx and its own model, for `asr evaluate` to compare with.

    python -m venv sphinx && sphinx/bin/pip install pocketsphinx soundfile
    python scripts/bench/transcribe_pocketsphinx.py dev-clean-heldout.jsonl sphinx.jsonl --python sphinx/bin/python
    asr evaluate dev-clean-heldout.jsonl against=[sphinx.jsonl]

PocketSphinx reads what we decode (16 kHz, 16 bits), one utterance at a time, with its own settings. What it
costs, decoding of the files left out, is printed, and is the last line as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from asr.audio.load import load_audio
from asr.corpus.manifest import read_manifest
from asr.files import write_atomically

RATE = 16000

PEER = """
import sys, time, soundfile
from pocketsphinx import Decoder
decoder = Decoder(samprate=16000)
for line in sys.stdin:
    samples, _ = soundfile.read(line.strip(), dtype="int16")
    started = time.process_time()
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    spent = time.process_time() - started
    print(spent, decoder.hyp().hypstr if decoder.hyp() else "", sep="\\t", flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("output", type=Path, help="hypotheses to write (.jsonl)")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has pocketsphinx and soundfile")
    arguments = parser.parse_args()
    utterances = read_manifest(arguments.manifest).utterances
    rows, spent, seconds = [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        peer = subprocess.Popen(
            [arguments.python, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert peer.stdin is not None
        assert peer.stdout is not None
        path = Path(folder) / "utterance.wav"
        for utterance in tqdm(utterances, unit="utterance", disable=None):
            samples = load_audio(utterance.audio, sample_rate=RATE)
            soundfile.write(path, np.clip(samples, -1, 1), RATE, subtype="PCM_16")
            peer.stdin.write(f"{path}\n")
            answer = peer.stdout.readline()
            if not answer:
                print("PocketSphinx has ended early", file=sys.stderr)
                return 1
            core_seconds, text = answer.rstrip("\n").split("\t", 1)
            spent, seconds = spent + float(core_seconds), seconds + len(samples) / RATE
            rows.append(json.dumps({"id": utterance.id, "text": text}))
        peer.stdin.close()
        peer.wait()
    write_atomically(arguments.output, ("\n".join(rows) + "\n").encode())
    print(f"{len(rows)} utterances, {seconds / 3600:.2f} h: {spent:.0f} core-seconds, {spent / seconds:.3f} a second")
    print(json.dumps({"utterances": len(rows), "audio_seconds": seconds, "core_seconds": spent}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
