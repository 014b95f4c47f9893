"""The report of an evaluation as frozen records, from which text, page and files are made.

`report.schema.json` beside this module and docs/evaluation.md describe report.json.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.corpus.manifest import Utterance
from asr.evaluation.alternatives import Alternatives
from asr.evaluation.analysis import (
    Confusions,
    MissedWords,
    Slice,
    by_frequency,
    by_vocabulary,
    confusions,
    reliability,
    slice_fields,
    slices,
    timed_words,
)
from asr.evaluation.baseline import read_baseline
from asr.evaluation.nist import Reference
from asr.evaluation.policy import PolicySummary, ScoringPolicy
from asr.evaluation.reliability import Reliability
from asr.evaluation.scoring import ErrorCounts, Score, Unit, UtteranceScore, score
from asr.evaluation.sources import Speed, Spike, System
from asr.evaluation.statistics import Comparison, Interval, compare, enough_speakers, is_regression, rate_intervals
from asr.text.transcript import Word

if TYPE_CHECKING:
    from asr.audio.features import LogMel

EMBED_MEGABYTES = 16.0
"""recordings and pictures up to this size are put into report.html itself"""


@dataclass(frozen=True, slots=True)
class ReferenceSummary:
    """The references that the systems were scored on."""

    names: tuple[str, ...]
    """of the files"""
    utterances: int
    words: int
    speakers: int
    """distinct ones; 0 if no speaker is known"""
    hours: float
    """of audio, as far as durations are known"""


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """A pooled error rate and how well it is known."""

    counts: ErrorCounts
    intervals: tuple[Interval, ...]
    """95 % intervals: over speakers, where at least eight are known, then over utterances"""

    @property
    def rate(self) -> float | None:
        """Errors by reference length, 0.1 for 10 %; None if the references are empty."""
        return self.counts.rate


@dataclass(frozen=True, slots=True)
class SliceTable:
    """The error rates of the utterances by their values of a field."""

    field: str
    values: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class VocabularyTable:
    """The errors in words that a vocabulary has, and in those that it lacks."""

    name: str | None
    kinds: tuple[MissedWords, ...]


@dataclass(frozen=True, slots=True)
class SystemReport:
    """The errors of one system."""

    name: str
    about: Mapping[str, Any]
    """for JSON: the source of the texts"""
    speed: Speed | None
    """None if the texts come from a file"""
    unreadable: int
    """recordings that could not be read; their texts are empty"""
    words: ErrorRate
    """its rate is the word error rate (WER)"""
    characters: ErrorRate
    """its rate is the character error rate (CER)"""
    utterances: int
    wrong_utterances: int
    """those with at least one word error"""
    slices: tuple[SliceTable, ...]
    word_confusions: Confusions
    character_confusions: Confusions
    frequency: tuple[MissedWords, ...]
    """reference words by how often the references have them"""
    vocabulary: VocabularyTable | None
    reliability: Reliability | None
    """of the confidences; None if there are none"""


@dataclass(frozen=True, slots=True)
class UtteranceResult:
    """The output of one system for one utterance."""

    score: UtteranceScore
    words: tuple[Word, ...] | None
    """times and confidences of the hypothesis's words; None if the system gave none that match"""
    spikes: tuple[Spike, ...]
    """likely symbols of the model's output, for the page; not in report.json"""


@dataclass(frozen=True, slots=True)
class UtteranceReport:
    """One utterance and the output of every system for it."""

    utterance: Utterance
    reference: str
    """as the scoring policy spells it, with all its alternatives"""
    fields: Mapping[str, str]
    """the values that it is sliced by"""
    systems: tuple[UtteranceResult, ...]
    """in the order of `EvaluationReport.systems`"""


@dataclass(frozen=True, slots=True)
class SystemComparison:
    """The first system compared with another one."""

    first: str
    second: str
    result: Comparison


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """The first system compared with that of an earlier report."""

    report: str
    """the report.json"""
    max_regression: float
    """points by which the WER may be higher"""
    is_regression: bool
    result: Comparison


@dataclass(frozen=True, slots=True)
class ReportHead:
    """The first fields of a report on one test set, and of that on several."""

    asr_version: str
    title: str | None
    """the report's title, chosen by its author"""


@dataclass(frozen=True, slots=True)
class EvaluationReport(ReportHead):
    """The errors of one or several systems on the same utterances.

    `asr.evaluate` and `make_report` make it. The first system is the main one.
    """

    references: ReferenceSummary
    policy: PolicySummary
    systems: tuple[SystemReport, ...]
    comparisons: tuple[SystemComparison, ...]
    """of the first system with each of the others"""
    baseline: BaselineComparison | None
    utterances: tuple[UtteranceReport, ...]
    log_mel: LogMel | None = field(default=None, compare=False, repr=False)
    """the features of the evaluated bundle, for the page's spectrograms; None for a page without recordings"""

    @property
    def wer(self) -> float | None:
        """Word error rate of the first system, 0.1 for 10 %; None if the references have no words."""
        return self.systems[0].words.rate

    @property
    def cer(self) -> float | None:
        """Character error rate of the first system, 0.1 for 10 %; None if the references are empty."""
        return self.systems[0].characters.rate

    @property
    def slices(self) -> dict[str, tuple[Slice, ...]]:
        """The error rates of the first system by field: `report.slices["speaker"]`."""
        return {table.field: table.values for table in self.systems[0].slices}

    def write(
        self,
        folder: str | Path,
        *,
        page_audio: bool = True,
        embed_megabytes: float = EMBED_MEGABYTES,
        overwrite: bool = False,
    ) -> Path:
        """Write the report as a page, JSON, text, Markdown and tables.

        Parameters
        ----------
        folder : str or Path
            Made if missing; see `asr.evaluation.report_files.write_report` for its files.
        page_audio : bool
            Let the page play the recordings and show their spectrograms.
        embed_megabytes : float >= 0
            Recordings and pictures up to this size are put into report.html itself, more into a folder beside it.
        overwrite : bool
            Also replace files that asr did not write, or that were changed since.

        Returns
        -------
        Path
            The page, report.html.

        Raises
        ------
        OutputError
            Before anything is written, if such a file exists.
        OSError
            If a file cannot be written.
        """
        # That module imports the records of this one.
        from asr.evaluation.report_files import write_report_with_recordings

        return write_report_with_recordings(
            folder, self, page_audio=page_audio, embed_megabytes=embed_megabytes, overwrite=overwrite
        )


def make_report(
    utterances: Sequence[Utterance],
    systems: Sequence[System],
    policy: ScoringPolicy,
    *,
    references: Sequence[str] = (),
    title: str | None = None,
    slice_by: Sequence[str] = (),
    vocabulary: Collection[str] | None = None,
    vocabulary_name: str | None = None,
    baseline: str | None = None,
    max_regression: float = 0.0,
    log_mel: LogMel | None = None,
) -> EvaluationReport:
    """Score systems on the same utterances and analyse their errors.

    Parameters
    ----------
    utterances : sequence of Utterance
        The references; the policy normalises their texts.
    systems : sequence of System
        At least one. The first is the main one; it is compared with each of the others.
    policy : ScoringPolicy
    references : sequence of str
        The names of the files that the utterances were read from.
    title : str, optional
        What the report is called.
    slice_by : sequence of str
        Fields of the manifests to slice by, besides those that are found (see `slice_fields`).
    vocabulary, vocabulary_name : collection of str and str, optional
        Known words, and their source.
    baseline : str, optional
        The report.json of an earlier evaluation, to compare the first system with.
    max_regression : float >= 0
        Points by which the WER may be higher than in it.
    log_mel : LogMel, optional
        See `EvaluationReport.log_mel`.

    Raises
    ------
    ConfigError
        If the baseline cannot be read, or has other utterances, references or normalisation.
    """
    texts = normalized_references(utterances, lambda text: policy.apply([text], "references")[0])
    scores = [
        score(texts, policy.apply((one.text for one in system.outputs), hypotheses_side(system.name)))
        for system in systems
    ]
    speakers = [one.speaker for one in utterances]
    results = [
        tuple(
            UtteranceResult(result, timed_words(output, result, policy), output.spikes)
            for output, result in zip(system.outputs, found.utterances, strict=True)
        )
        for system, found in zip(systems, scores, strict=True)
    ]
    fields = slice_fields(utterances, slice_by)
    groups = enough_speakers(speakers)
    compared_with_baseline = None
    if baseline is not None:
        before = score(texts, read_baseline(baseline, [one.id for one in utterances], list(map(str, texts))))
        comparison = compare(scores[0], before, groups)
        compared_with_baseline = BaselineComparison(
            baseline, max_regression, is_regression(comparison, max_regression), comparison
        )
    return EvaluationReport(
        asr_version=metadata.version("asr"),
        title=title,
        references=ReferenceSummary(
            names=tuple(references),
            utterances=len(utterances),
            words=scores[0].words.reference_length,
            speakers=len({one for one in speakers if one is not None}),
            hours=round(sum(one.duration or 0 for one in utterances) / 3600, 4),
        ),
        policy=policy.describe(),
        systems=tuple(
            _system_report(
                system, found, [one.words for one in details], utterances, fields, vocabulary, vocabulary_name
            )
            for system, found, details in zip(systems, scores, results, strict=True)
        ),
        comparisons=tuple(
            SystemComparison(systems[0].name, system.name, compare(scores[0], found, groups))
            for system, found in zip(systems[1:], scores[1:], strict=True)
        ),
        baseline=compared_with_baseline,
        utterances=tuple(
            UtteranceReport(
                utterance=one,
                reference=str(texts[index]),
                fields={name: values[index] for name, values in fields.items() if name != "speaker"},
                systems=tuple(details[index] for details in results),
            )
            for index, one in enumerate(utterances)
        ),
        log_mel=log_mel,
    )


def hypotheses_side(name: str) -> str:
    """The name of a system's texts in the policy."""
    return f"hypotheses of {name}"


def normalized_references(utterances: Sequence[Utterance], policy: Callable[[str], str]) -> list[str | Alternatives]:
    """The references as a policy normalises them, with the alternatives of those that have some."""
    return [
        one.alternatives.map(policy) if isinstance(one, Reference) else policy(one.text or "") for one in utterances
    ]


def _system_report(
    system: System,
    found: Score,
    words: Sequence[Sequence[Word] | None],
    utterances: Sequence[Utterance],
    fields: Mapping[str, Sequence[str]],
    vocabulary: Collection[str] | None,
    vocabulary_name: str | None,
) -> SystemReport:
    speakers = [one.speaker for one in utterances]
    return SystemReport(
        name=system.name,
        about=dict(system.about),
        speed=system.speed,
        unreadable=system.unreadable,
        words=ErrorRate(found.words, tuple(rate_intervals(found, speakers))),
        characters=ErrorRate(found.characters, tuple(rate_intervals(found, speakers, unit=Unit.character))),
        utterances=len(utterances),
        wrong_utterances=found.wrong_utterances,
        slices=tuple(SliceTable(name, tuple(slices(found, utterances, values))) for name, values in fields.items()),
        word_confusions=confusions(found),
        character_confusions=confusions(found, characters=True),
        frequency=tuple(by_frequency(found)),
        vocabulary=None
        if vocabulary is None
        else VocabularyTable(vocabulary_name, tuple(by_vocabulary(found, vocabulary))),
        reliability=reliability(found, words),
    )
