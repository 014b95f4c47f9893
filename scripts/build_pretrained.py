"""Makes the bundle that ships from a finished run, with its error rate in its card.

    python scripts/build_pretrained.py runs/en asr/models/en ../shared/speech/librispeech/dev-clean-heldout.jsonl

The bundle is evaluated, greedily, as `asr evaluate` does; what that prints is what the card holds.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from asr.bundle import copy_bundle, load_bundle
from asr.config import NormalizerConfig
from asr.corpus.manifest import read_manifest
from asr.errors import AudioError
from asr.evaluation.scoring import score
from asr.text.normalize import normalize_text
from asr.transcription.transcriber import Transcriber


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("bundle", type=Path, help="the bundle to write")
    parser.add_argument("manifest", type=Path, help="utterances of speakers it was not trained on")
    parser.add_argument("--note", help="what the card should say of the training besides")
    arguments = parser.parse_args()
    source = load_bundle(arguments.run / "best")
    provenance = dict(source.provenance)
    # Where the corpora lay on the machine that trained is nobody's business.
    folder = os.path.commonpath([*provenance["train"], *provenance["valid"]])
    for part in ("train", "valid"):
        provenance[part] = [os.path.relpath(path, folder) for path in provenance[part]]
    provenance["command"] = "asr train experiment=en"
    provenance["licences"] = "CC BY 4.0 (LibriSpeech) and free for any purpose (the others): see NOTICE"
    if arguments.note:
        provenance["note"] = arguments.note
    copy_bundle(source, arguments.bundle, provenance=provenance, error_rates={})
    bundle = load_bundle(arguments.bundle)
    utterances = read_manifest(arguments.manifest).utterances
    texts = []
    results = Transcriber(bundle).transcribe_files(one.audio_path for one in utterances)
    for result in tqdm(results, total=len(utterances), unit="file", disable=None):
        if isinstance(result, AudioError):
            raise result
        texts.append(result.text)
    settings = NormalizerConfig()
    references = [normalize_text(one.text or "", settings) for one in utterances]
    result = score(references, [normalize_text(text, settings) for text in texts])
    print(f"WER {result.words}, CER {result.characters}")
    error_rates = {
        arguments.manifest.stem: {
            "decoder": "greedy",
            "wer": result.words.rate,
            "cer": result.characters.rate,
            "utterances": len(utterances),
            "command": f"asr evaluate {os.path.relpath(arguments.manifest, folder)}",
            "note": "the epoch was chosen on these speakers, so a little optimistic",
        }
    }
    copy_bundle(bundle, arguments.bundle, error_rates=error_rates)
    print(f"{arguments.bundle}: {load_bundle(arguments.bundle).bytes_on_disk / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
