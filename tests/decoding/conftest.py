from __future__ import annotations

import numpy as np
import pytest

from asr.language.ngram import NgramModel
from asr.language.ngram_training import tokenize, train_ngram
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageUnit

SENTENCES = """\
the cat sat on the mat
the dog sat on the cat
a dog saw the cat on a mat
the mat sat
a cat saw a dog and the dog saw the cat
on the mat the dog sat and sat
the cat and the dog sat on a mat and saw the mat
""".splitlines()


def train(sentences: list[str], **settings: object) -> NgramModel:
    config = LmConfig(**{"min_count": 1, **settings})
    return train_ngram(tokenize(sentences, config), config)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


@pytest.fixture(scope="session")
def small_model() -> NgramModel:
    """A 3-gram over words, of a vocabulary in which `saw` is missing."""
    return train(
        [line.replace("saw", "zebra") if index == 2 else line for index, line in enumerate(SENTENCES)], min_count=2
    )


@pytest.fixture(scope="session")
def character_model() -> NgramModel:
    return train(SENTENCES, order=4, unit=LanguageUnit.characters)
