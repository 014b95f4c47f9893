"""The figures of the README: listed with the command that measures them, and computed again where that is quick."""

from __future__ import annotations

import re

import pytest

import asr
from asr.bundle import load_bundle
from asr.language.ngram_file import load_ngram
from scripts.docs.figures import FIGURES, MODELS, README, Figure, main

from ..conftest import REPOSITORY

PAGES = {page: (REPOSITORY / page).read_text("utf-8") for page in (README, MODELS)}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: one.text)
def test_a_listed_figure_is_in_its_page(figure: Figure):
    assert figure.written in PAGES[figure.page]


def test_every_error_rate_and_size_of_the_readme_is_listed():
    listed = [figure.written for figure in FIGURES if figure.page == README and figure.written]
    text = re.sub(r"^```.*?^```$", "", PAGES[README], flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if not any(one in line for one in listed)]
    found = re.findall(r"\d[\d.,]*(?: to \d[\d.]*)? (?:%|MB|million|seconds)", " ".join(lines))
    assert [one for one in found if not one.startswith("95 ")] == []


def test_the_script_lists_those_that_take_longer(capsys):
    main(["--long"])
    printed = capsys.readouterr().out
    assert printed.count("\n") == 2 * sum(not figure.tested for figure in FIGURES)
    assert re.search(r"README.md  (\d{4}-\d\d-\d\d|unknown)  .* \| \*\*\d+\.\d %", printed)
    assert "asr evaluate dev-clean-heldout.jsonl" in printed


def test_weights_words_and_sizes_are_those_of_the_bundles():
    for name, digits, pages in (("en", 1, (README, MODELS)), ("small", 1, (MODELS,)), ("tiny", 2, (MODELS,))):
        weights = sum(array.size for array in load_bundle(name).weights().values())
        assert all(f"{weights / 1e6:.{digits}f} million weights" in PAGES[page] for page in pages)
        files = {file.stem: file.stat().st_size / 1e6 for file in load_bundle(name).path.iterdir()}
        stored = files.get("weights", files.get("arrays", 0.0))
        # A compact bundle has no graph.
        graph = f"graph {files['model']:.1f}, weights" if "model" in files else "weights in 7 bits"
        assert f"{sum(files.values()):.1f} MB: {graph} {stored:.1f}" in PAGES[MODELS]
    assert f"language model {(load_bundle('en').path / 'language.lm').stat().st_size / 1e6:.1f}" in PAGES[MODELS]
    thousands = round(len(load_ngram(load_bundle("en").path / "language.lm").words) / 1000)
    assert f"among its {thousands},000" in PAGES[README]


@pytest.mark.slow
def test_the_error_rate_of_the_samples_is_that_of_the_readme():
    """Within one word: sums of floating-point numbers differ between processors."""
    report = asr.evaluate(REPOSITORY / "data" / "samples" / "samples.jsonl")
    words = report.systems[0].words
    stated = float(re.findall(r"([\d.]+) % WER on six", PAGES[README])[0])
    assert report.wer == pytest.approx(stated / 100, abs=1.5 / words.counts.reference_length)
