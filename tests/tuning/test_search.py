from __future__ import annotations

import pytest

from asr.evaluation.scoring import score
from asr.settings.decoding import BeamConfig
from asr.tuning.search import Trial, recommend

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
