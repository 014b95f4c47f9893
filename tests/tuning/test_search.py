from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asr.decoding import BeamDecoder
from asr.errors import AsrError, LanguageModelError
from asr.evaluation.scoring import score
from asr.language.ngram_file import save_ngram
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.windows import Stretch
from asr.settings.decoding import BeamConfig
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import Alphabet
from asr.tuning.search import SECOND_PASS_WEIGHTS, Trial, Tuner, recommend

from ..bundles import save_random_language_model
from ..decoding.conftest import train

ALPHABET = Alphabet(" ab")
WORDS = 10_000


def trial(beam_width: int, wrong: int, seconds: float) -> Trial:
    """Settings that got so many of 10,000 words wrong."""
    found = score(["a"] * WORDS, ["b"] * wrong + ["a"] * (WORDS - wrong))
    return Trial(BeamConfig(beam_width=beam_width), found, seconds)


@pytest.mark.parametrize(
    ("tried", "recommended"),
    [
        ([(2, 2011, 1.0), (4, 2005, 2.0), (8, 2000, 4.0)], 4),  # within 0.1 points of the best
        ([(2, 2005, 3.0), (4, 2000, 2.0)], 4),  # narrower and slower
        ([(2, 2100, 0.1), (4, 2000, 2.0)], 4),
    ],
)
def test_the_fastest_of_those_next_to_the_most_accurate_is_recommended(tried, recommended):
    trials = [trial(*one) for one in tried]
    for order in (trials, trials[::-1]):
        assert recommend(order).settings.beam_width == recommended


def tuner(**settings) -> Tuner:
    rng = np.random.default_rng(0)
    outputs = []
    for name in "xy":
        logits = rng.standard_normal((40, ALPHABET.size))
        log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        outputs.append(AcousticOutput(name, 1.6, (Stretch(0, log_probs),)))
    config = BeamConfig(beam_width=4, **settings)
    return Tuner(outputs, ["ab a", "b"], ALPHABET, NormalizerConfig(), settings=config, seed=1, workers=2)


def test_trials_do_not_depend_on_which_process_made_them():
    with tuner() as one:
        trials = one.try_widths(BeamConfig(), [1, 2, 4, 8])
        again = one.try_widths(BeamConfig(), [8, 4, 2, 1])
    assert [trial.settings.beam_width for trial in trials] == [1, 2, 4, 8]
    assert [trial.score for trial in trials] == [trial.score for trial in again]
    assert not one._pool.pids


def test_an_error_of_a_process_is_raised_here(tmp_path):
    with tuner(lm=str(tmp_path / "none.lm")) as one, pytest.raises((LanguageModelError, OSError), match=r"none\.lm"):
        one.try_widths(BeamConfig(), [1])


def test_a_process_that_dies_is_an_error_with_advice(monkeypatch):
    monkeypatch.setattr("asr.tuning.search._TRIALS", "tests.children:killed")
    with tuner() as one, pytest.raises(AsrError, match=r"has ended \(signal 9, Killed\): if memory ran out"):
        one.try_widths(BeamConfig(), [1, 2])


def test_weights_of_a_second_pass_are_tried_on_one_search(tmp_path, monkeypatch):
    model = train(["a b ab", "ab a a", "b ab ba a", "a ab", "aab b"], order=2)
    save_ngram(tmp_path / "words.lm", model, quantized=False)
    neural = str(save_random_language_model(tmp_path / "neural.onnx"))
    searches = []
    search = BeamDecoder.lattices_in_slices
    monkeypatch.setattr(BeamDecoder, "lattices_in_slices", lambda self, one: searches.append(1) or search(self, one))
    with tuner(lm=str(tmp_path / "words.lm")) as one:
        settings = BeamConfig(beam_width=16, lm=str(tmp_path / "words.lm"))
        trials = one.try_second_pass(replace(settings, second_pass=neural))
        assert searches == [1]
        for tried in trials[:1] + trials[-2:]:
            (alone,) = one._try([replace(tried.settings)])
            assert tried.score == alone.score
    assert [one.settings.second_pass_weight for one in trials] == list(SECOND_PASS_WEIGHTS)
    assert {one.settings.second_pass for one in trials} == {neural}
