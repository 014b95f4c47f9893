"""Searches for the weights and the width of a beam search, on outputs of the acoustic model that are computed once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from asr.decoding.assembly import load_language_model
from asr.decoding.decoder import BeamDecoder
from asr.errors import AsrError
from asr.evaluation.scoring import Score, score
from asr.processes import ChildEndedError, Pool
from asr.pronunciation.phones import PhoneSet
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.joining import decode_recordings, join_recordings
from asr.settings.decoding import BeamConfig
from asr.settings.text import NormalizerConfig
from asr.slices import run_slices
from asr.text.alphabet import Alphabet
from asr.text.normalize import normalize_text

SEARCHED = {
    "lm_weight": (0.0, 2.0),
    "word_bonus": (-2.0, 4.0),
    "unknown_score": (-30.0, 0.0),
    "prior_weight": (0.0, 1.0),
}
"""what is searched, by the name of the setting; natural log"""
SECOND_PASS_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""that are tried"""
_TRIALS = "asr.tuning.search:make_trials"
# The narrowest beam is recommended whose word error rate is this close to the best one's.
_NEXT_TO_NOTHING = 0.001


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and their results."""

    settings: BeamConfig
    score: Score
    seconds: float
    """processor seconds of decoding"""

    @property
    def rate(self) -> tuple[float, float]:
        """Word and character error rate, by which trials are ranked."""
        return self.score.words.rate or 0.0, self.score.characters.rate or 0.0


class Tuner:
    """Tries settings of a beam search on some recordings.

    Parameters
    ----------
    outputs : sequence of AcousticOutput
        Of the recordings.
    references : sequence of str
        What is said in each, normalised.
    alphabet : Alphabet
    normalizer : NormalizerConfig
        For the texts that are found.
    settings : BeamConfig
        What is not searched.
    priors : sequence of float
        How often the model says each symbol; where that is unknown, `prior_weight` is not searched.
    spelling : NormalizerConfig, optional
        Of the model's training texts, for hot words and listed words.
    phones : PhoneSet, optional
        Of the model's output over phones.
    seed : int
    workers : int > 0
        Processes to try settings in; what is found does not depend on which of them is faster.
    """

    def __init__(
        self,
        outputs: Sequence[AcousticOutput],
        references: Sequence[str],
        alphabet: Alphabet,
        normalizer: NormalizerConfig,
        *,
        settings: BeamConfig,
        priors: Sequence[float] = (),
        spelling: NormalizerConfig | None = None,
        phones: PhoneSet | None = None,
        seed: int,
        workers: int,
    ) -> None:
        self._settings, self._seed = settings, seed
        self._searched = {name: span for name, span in SEARCHED.items() if priors or name != "prior_weight"}
        self._job = job = _Job(outputs, references, alphabet, normalizer, priors, spelling, phones, settings.lm)
        self._pool = Pool(_TRIALS, job)
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> Tuner:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()
        self._threads.shutdown()

    def search(self, trials: int, watch: Callable[[Trial], object]) -> list[Trial]:
        """Try combinations of the settings in `SEARCHED`.

        Parameters
        ----------
        trials : int > 0
        watch : callable
            Called with every trial.

        Returns
        -------
        list of Trial
            Best first.
        """
        from asr.tuning.study import Interval, Study

        space = {name: Interval(*span) for name, span in self._searched.items()}
        study = Study(space, seed=self._seed, startup=min(16, trials))
        # A start from outside of what is searched begins at its edge.
        start = {name: getattr(self._settings, name) for name in self._searched}
        study.begin_with({name: min(max(start[name], low), high) for name, (low, high) in self._searched.items()})
        done: list[Trial] = []
        # Results are reported in groups as large as those that were drawn: the search is then the same on any machine.
        at_once = 4
        while len(done) < trials:
            asked = [study.ask() for _ in range(min(at_once, trials - len(done)))]
            several = [replace(self._settings, **one.values) for one in asked]
            for one, trial in zip(asked, self._try(several), strict=True):
                # Of equal word error rates, the one with fewer wrong characters.
                study.tell(one.number, trial.rate[0] + 1e-3 * trial.rate[1])
                done.append(trial)
                watch(trial)
        return sorted(done, key=lambda trial: trial.rate)

    def try_widths(self, best: BeamConfig, widths: Sequence[int]) -> list[Trial]:
        """Try beam widths with settings that are found; narrowest first."""
        return self._try([replace(best, beam_width=width) for width in sorted(set(widths))])

    def try_second_pass(self, best: BeamConfig) -> list[Trial]:
        """Try weights of the second pass with settings that are found; the search runs once for all of them.

        Parameters
        ----------
        best : BeamConfig
            With a second pass.

        Returns
        -------
        list of Trial
            In the order of `SECOND_PASS_WEIGHTS`. The time of each is that of the search and of the first weight.
        """
        job = self._job
        decoder = BeamDecoder(
            job.alphabet,
            replace(best, second_pass_weight=SECOND_PASS_WEIGHTS[-1]),
            priors=job.priors,
            normalizer=job.spelling,
            phones=job.phones,
        )
        log_probs = [stretch.log_probs for one in job.outputs for stretch in one.stretches]
        started = time.process_time()
        found = run_slices(decoder.lattices_in_slices(log_probs))
        trials: list[Trial] = []
        for weight in SECOND_PASS_WEIGHTS[::-1]:
            texts = decoder.rescore(found, weight=weight)
            if not trials:
                seconds = time.process_time() - started
            joined = join_recordings(job.outputs, texts, job.alphabet.separator)
            scored = _score(job, [hypotheses[0].text for hypotheses in joined])
            trials.append(Trial(replace(best, second_pass_weight=weight), scored, seconds))
        return trials[::-1]

    def _try(self, several: Sequence[BeamConfig]) -> list[Trial]:
        try:
            return list(self._threads.map(self._pool.ask, several))
        except ChildEndedError as error:
            raise AsrError(
                f"a process that tries settings has ended ({error}): if memory ran out, lower workers"
            ) from error


def recommend(trials: Sequence[Trial]) -> Trial:
    """The fastest of some trials whose word error rate is next to the best one's (0.1 points)."""
    best = min(trial.rate[0] for trial in trials)
    return min((trial for trial in trials if trial.rate[0] <= best + _NEXT_TO_NOTHING), key=lambda one: one.seconds)


@dataclass(frozen=True)
class _Job:
    """What a process that tries settings needs to know; fields as in `Tuner`."""

    outputs: Sequence[AcousticOutput]
    references: Sequence[str]
    alphabet: Alphabet
    normalizer: NormalizerConfig
    priors: Sequence[float]
    spelling: NormalizerConfig | None
    phones: PhoneSet | None
    lm: str | None


def make_trials(job: _Job) -> Callable[[BeamConfig], Trial]:
    """The handler of a process that tries settings."""
    model = None if job.lm is None else load_language_model(job.lm)

    def try_settings(settings: BeamConfig) -> Trial:
        decoder = BeamDecoder(
            job.alphabet, settings, priors=job.priors, model=model, normalizer=job.spelling, phones=job.phones
        )
        started = time.process_time()
        texts = [hypotheses[0].text for hypotheses in decode_recordings(job.outputs, decoder)]
        seconds = time.process_time() - started
        return Trial(settings, _score(job, texts), seconds)

    return try_settings


def _score(job: _Job, texts: Sequence[str]) -> Score:
    return score(job.references, [normalize_text(text, job.normalizer) for text in texts])
