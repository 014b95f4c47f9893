"""The report of a run's best bundle on the validation set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from asr.bundle import load_bundle
from asr.corpus.manifest import Utterance
from asr.decoding import describe_decoder
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.report import make_report
from asr.evaluation.report_files import DATA_FILES, write_report
from asr.evaluation.sources import Output, System
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import TrainConfig
from asr.settings.decoding import GreedyConfig
from asr.training.run_folder import BEST, VALIDATION

_DIGEST = "acoustic_digest"
"""what a report says of its bundle: the model is the same where this is"""


def report_best(
    run_dir: Path,
    settings: TrainConfig,
    utterances: Sequence[Utterance],
    valid_names: Sequence[str],
    *,
    replace_earlier: bool = False,
) -> list[Path]:
    """Report the errors of the best bundle on the validation set, by utterance.

    Nothing is done if there is a report of this bundle already: a report names the epoch and the digest of its bundle.
    Those of earlier versions do not: of them, `replace_earlier` says whether they are of another bundle.

    The recordings are decoded as the bundle will be used: by the decoder that it recommends, which a fine-tuned model
    has from the bundle it began from, with that one's language model; otherwise greedily.

    Returns
    -------
    list of Path
        The files of the report.

    Raises
    ------
    AudioError
        If a recording can no longer be read.
    """
    best, folder = run_dir / BEST, run_dir / VALIDATION
    if not best.exists():
        return []
    bundle = load_bundle(best)
    if (folder / DATA_FILES[0]).exists():
        reported = _reported_digest(folder / DATA_FILES[0])
        if reported == bundle.acoustic_digest or (reported is None and not replace_earlier):
            return []
    decoder = bundle.decoder or GreedyConfig()
    with Transcriber(bundle, decoder=decoder) as transcriber:
        transcripts = transcriber.transcribe_files([one.audio for one in utterances], errors="raise")
        bar = tqdm(transcripts, "reporting", len(utterances), unit="file", disable=None, leave=False)
        outputs = [Output(transcript.text) for transcript in bar]
    label = describe_decoder(decoder)
    about = {"bundle": str(best), "decoder": label, "epoch": bundle.provenance.get("epoch")}
    system = System(f"{BEST}, {label}", outputs, about | {_DIGEST: bundle.acoustic_digest})
    report = make_report(utterances, [system], ScoringPolicy(settings.normalizer), references=list(valid_names))
    page = write_report(folder, report)
    return [folder / DATA_FILES[0], page]


def _reported_digest(path: Path) -> str | None:
    """The digest of the bundle that a report measures; None if it is unknown."""
    try:
        digest = json.loads(path.read_text("utf-8"))["systems"][0]["about"].get(_DIGEST)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return digest if isinstance(digest, str) else None
