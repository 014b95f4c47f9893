"""What the documentation shows of the English model of punctuation is what it writes."""

from __future__ import annotations

import re

from asr import load_bundle
from asr.punctuation.text_writer import TextWriter
from asr.settings.transcripts import WrittenForm

from ..conftest import REPOSITORY


def written(words: str) -> str:
    tagger = load_bundle("en").tagger()
    assert tagger is not None
    return " ".join(one.text for one in TextWriter(tagger, WrittenForm.full).tokens(words.split()))


def test_the_example_of_the_guide() -> None:
    page = (REPOSITORY / "docs" / "punctuation.md").read_text("utf-8")
    quotes = re.findall(r"(?:^> .*\n)+", page, re.MULTILINE)
    before, after = (" ".join(one.replace("> ", "", 1) for one in quote.splitlines()) for quote in quotes[:2])
    assert written(before) == after


def test_the_example_of_the_readme() -> None:
    page = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    found = re.search(r'digits: "([a-z ]+)" is written "([^"]+)"', page)
    assert found
    assert written(found[1]) == found[2]
