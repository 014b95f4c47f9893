"""Transcripts of podcasts and treebanks as texts with capitals and punctuation."""

from __future__ import annotations

import lzma
import subprocess
import sys

import pytest

from ..conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "scripts" / "research"))

from podcast_documents import clean_paragraph
from treebank_documents import paragraphs


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("**Ann Lee:** Welcome, everybody!", "Welcome, everybody!"),
        ("**Ann:** \\[laughs\\] Right. I know \\[04:22\\] it.", "Right. I know it."),
        ("See [the show](https://a.org/b) of _today_, and *now*.", "See the show of today, and now."),
        ("It took 45 minutes. We waited.", "We waited."),
        ("Type `x`. Go to example.com. Fine.", "Fine."),
        ("I was... and then... He won\u2026 but why?", "I was, and then... He won, but why?"),
        ("\u201cYes,\u201d she said \u2014 it\u2019s late.", '"Yes," she said \u2014 it\'s late.'),
        ("A heading", ""),
        ("", ""),
    ],
)
def test_what_is_said_in_a_paragraph_of_a_transcript(written: str, kept: str) -> None:
    assert clean_paragraph(written) == kept


def test_paragraphs_and_documents_of_a_treebank() -> None:
    lines = [
        "# newdoc id = a",
        "# newpar",
        "# text = One.",
        "1\tOne\t_",
        "# text = Two.",
        "# newpar",
        "# text = Three.",
        "# newdoc id = b",
        "# text = Four.",
    ]
    found = [one for one in paragraphs(lines) if one != []]
    assert found == [None, ["One.", "Two."], ["Three."], None, ["Four."]]


def test_episodes_are_read_from_a_repository(tmp_path) -> None:
    from .test_lexicon import run_script

    repository = tmp_path / "transcripts"
    (repository / "show").mkdir(parents=True)
    (repository / "show" / "one.md").write_text("**Ann:** Welcome to the show.\n\n" * 150, "utf-8")
    (repository / "show" / "short.md").write_text("**Ann:** Soon.\n", "utf-8")
    (repository / "show" / "code.py").write_text("Not a transcript. " * 300, "utf-8")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(repository), *command], check=True)
    outcome = run_script("podcast_documents.py", repository, tmp_path / "out.txt.xz")
    assert outcome.returncode == 0, outcome.stderr
    assert (
        lzma.decompress((tmp_path / "out.txt.xz").read_bytes()).decode().splitlines() == ["Welcome to the show."] * 150
    )
