"""`asr evaluate cluster=...`: recognises the recordings by many processes, for one report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from asr.cli.distributed import common_folders, in_order, reason_of, run_items, size_of, work_of
from asr.errors import AudioError
from asr.settings.commands import EvaluateConfig

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.recognition.evaluate import Candidate, Elsewhere, UtteranceResult


def recognize_elsewhere(settings: EvaluateConfig) -> Elsewhere:
    """What recognises recordings by the processes that the settings name."""

    def recognize(
        group: Sequence[Candidate], utterances: Sequence[Utterance], frame_seconds: float, spikes: bool
    ) -> Iterator[UtteranceResult | AudioError]:
        from asr.cluster.dispatch import Item
        from asr.cluster.evaluate_work import EvaluationJob
        from asr.cluster.work_recording import Recognizer, recognizer_start

        paths = [one.audio_path for one in utterances if one.url is None]
        items = [Item(work_of(one), size_of(one)) for one in utterances]
        recognizers = tuple(Recognizer.of(one.bundle, one.decoder, settings, name=one.bundle_name) for one in group)
        start = recognizer_start(
            "asr.cluster.evaluate_work:make_recognition",
            EvaluationJob(recognizers, frame_seconds, spikes),
            recognizers[0],
            shared=common_folders(paths),
        )
        found = run_items(
            items,
            lambda: start,
            cluster=settings.cluster,
            workers=settings.workers,
            seconds=lambda result: float(result.seconds),
        )
        for one, done in zip(utterances, in_order(found, len(items)), strict=True):
            if isinstance(done.result, Exception) and not isinstance(done.result, AudioError):
                yield AudioError(one.url or one.audio_path, reason_of(done.result, done.node))
            else:
                yield done.result

    return recognize
