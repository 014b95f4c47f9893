"""Several test sets in one report, and the tables that a paper needs."""

from __future__ import annotations

import csv
import json
import re
from importlib import resources

import jsonschema
import numpy as np
import pytest

from asr.errors import ConfigError
from asr.evaluation.scoring import score
from asr.evaluation.sets import read_sets
from asr.evaluation.statistics import compare, compare_means, mean_rate, times_as_much_speech

from ..conftest import write_rows

SCHEMA = json.loads((resources.files("asr.evaluation") / "sets.schema.json").read_text("utf-8"))
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


@pytest.fixture
def corpus(tmp_path):
    """Two test sets, and two systems on each: the second has more errors."""
    rng = np.random.default_rng(1)
    for name, count in (("clean", 30), ("noisy", 20)):
        rows = [
            {"id": f"u{number}", "audio_filepath": f"/home/anna/{number}.wav", "text": " ".join(rng.choice(WORDS, 8))}
            for number in range(count)
        ]  # fmt: skip
        write_rows(tmp_path / f"{name}.jsonl", rows)
        for system, share in (("ours", 0.05), ("theirs", 0.3)):
            texts = [
                " ".join("x" if rng.random() < share else word for word in row["text"].split()) for row in rows
            ]  # fmt: skip
            write_rows(
                tmp_path / f"{system}-{name}.jsonl",
                [{"id": row["id"], "text": text} for row, text in zip(rows, texts, strict=True)],
            )
    return tmp_path


def evaluate(asr_command, folder, *more):
    return asr_command(
        "evaluate", folder / "clean.jsonl", folder / "noisy.jsonl", f"hypotheses={folder}/ours-{{set}}.jsonl",
        f"against=[{folder}/theirs-{{set}}.jsonl]", "worst=0", *more,
    )  # fmt: skip


def test_each_file_is_a_set_and_the_table_has_the_rates_of_each_alone(asr_command, corpus):
    outcome = evaluate(asr_command, corpus, f"output_dir={corpus / 'out'}", "title=Two & more")
    assert outcome.code == 0, outcome.err
    report = json.loads((corpus / "out" / "report.json").read_text("utf-8"))
    jsonschema.validate(report, SCHEMA)
    assert (report["title"], [one["name"] for one in report["sets"]]) == ("Two & more", ["clean", "noisy"])
    rates = []
    for name in ("clean", "noisy"):
        alone = asr_command("evaluate", corpus / f"{name}.jsonl", f"hypotheses={corpus}/ours-{name}.jsonl",
                            f"output_dir={corpus / name}", "worst=0")  # fmt: skip
        assert alone.code == 0
        words = json.loads((corpus / name / "report.json").read_text("utf-8"))["systems"][0]["words"]
        one = next(one for one in report["sets"] if one["name"] == name)
        assert one["systems"][0]["words"] == words
        assert json.loads((corpus / "out" / one["report"]).read_text("utf-8"))["systems"][0]["words"] == words
        rates.append(words["rate"])
    mean = report["mean"]["systems"][0]
    assert mean["rate"] == pytest.approx(sum(rates) / 2)
    assert mean["interval"]["low"] < mean["rate"] < mean["interval"]["high"]
    line = next(line for line in outcome.out.splitlines() if re.match(r"system +clean +noisy +mean", line))
    assert line
    assert f"{100 * mean['rate']:.2f} %" in outcome.out


def test_a_system_with_a_file_for_each_set_is_named_without_it_unless_two_would_have_one_name(asr_command, corpus):
    outcome = evaluate(asr_command, corpus)
    assert re.search(r"^\S*/ours +\d", outcome.out, re.MULTILINE), outcome.out
    assert "{set}" not in outcome.out
    for name in ("clean", "noisy"):
        (corpus / name).mkdir()
        (corpus / name / "ours.jsonl").write_bytes((corpus / f"theirs-{name}.jsonl").read_bytes())
    outcome = evaluate(asr_command, corpus, f"against=[{corpus}/{{set}}/ours.jsonl]")
    assert outcome.code == 0, outcome.err
    assert "/ours-{set}.jsonl" in outcome.out
    assert "/{set}/ours.jsonl" in outcome.out


def test_pool_makes_one_set_of_all_files(asr_command, corpus):
    for name in ("clean", "noisy"):
        for kind in ("", "ours-"):
            rows = [json.loads(line) for line in (corpus / f"{kind}{name}.jsonl").read_text().splitlines()]
            write_rows(corpus / f"{kind}{name}.jsonl", [row | {"id": f"{name}-{row['id']}"} for row in rows])
    joined = corpus / "ours.jsonl"
    joined.write_text((corpus / "ours-clean.jsonl").read_text() + (corpus / "ours-noisy.jsonl").read_text())
    arguments = ("evaluate", corpus / "clean.jsonl", corpus / "noisy.jsonl", f"hypotheses={joined}", "worst=0")
    pooled = asr_command(*arguments, "pool=true")
    assert pooled.code == 0
    assert "50 utterances, 400 words" in pooled.out
    assert "== clean" not in pooled.out
    # One file of hypotheses may serve all sets if no id is in two of them.
    apart = asr_command(*arguments, "names=[one,other]")
    assert apart.code == 0, apart.err
    assert "== one" in apart.out
    assert re.search(r"system +one +other +mean", apart.out)


def test_wrong_names_and_files_are_refused(asr_command, corpus):
    refused = asr_command(
        "evaluate", corpus / "clean.jsonl", corpus / "noisy.jsonl", f"hypotheses={corpus}/ours-clean.jsonl"
    )
    assert refused.code == 2
    assert "several test sets have an utterance 'u0'" in refused.err
    assert "ours-clean-{set}.jsonl" in refused.err
    for names, message in (
        (["one"], "1 names, but there are 2 files"),
        (["a b", "a_b"], "would have one folder"),
        (["report", "x"], "cannot be the folder"),
        (["..", "x"], "cannot be the folder"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            read_sets([str(corpus / "clean.jsonl"), str(corpus / "noisy.jsonl")], names)


def test_a_baseline_of_sets_is_compared_set_by_set(asr_command, corpus):
    assert evaluate(asr_command, corpus, f"output_dir={corpus / 'out'}").code == 0
    baseline = f"baseline={corpus / 'out' / 'report.json'}"
    same = evaluate(asr_command, corpus, baseline)
    assert same.code == 0, same.err
    worse = asr_command("evaluate", corpus / "clean.jsonl", corpus / "noisy.jsonl", baseline, "worst=0",
                        f"hypotheses={corpus}/theirs-{{set}}.jsonl")  # fmt: skip
    assert worse.code == 3
    single = f"baseline={corpus / 'out' / 'clean' / 'report.json'}"
    refused = evaluate(asr_command, corpus, single)
    assert refused.code == 2
    assert "is a report on one test set" in refused.err


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.startswith("."))


@pytest.mark.parametrize("before", ["one", "sets", "named sets"])
@pytest.mark.parametrize("after", ["one", "sets", "named sets"])
def test_a_folder_holds_the_last_report_only(asr_command, corpus, before, after):
    def write(kind, out):
        if kind == "one":
            outcome = asr_command("evaluate", corpus / "clean.jsonl", f"hypotheses={corpus}/ours-clean.jsonl",
                                  f"output_dir={out}", "worst=0")  # fmt: skip
        else:
            named = ["names=[one,noisy]", f"hypotheses={corpus}/ours-all.jsonl", "against=[]"]
            outcome = evaluate(asr_command, corpus, f"output_dir={out}", *(named if kind == "named sets" else []))
        assert outcome.code == 0, outcome.err

    for name in ("clean", "noisy"):
        for path in (corpus / f"{name}.jsonl", corpus / f"ours-{name}.jsonl", corpus / f"theirs-{name}.jsonl"):
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            write_rows(path, [row | {"id": f"{name}-{row['id']}"} for row in rows])
    (corpus / "ours-all.jsonl").write_bytes(
        (corpus / "ours-clean.jsonl").read_bytes() + (corpus / "ours-noisy.jsonl").read_bytes()
    )
    write(after, corpus / "alone")
    write(before, corpus / "out")
    write(after, corpus / "out")
    tops = [{one.name for one in (corpus / name).iterdir() if one.is_file()} for name in ("out", "alone")]
    assert tops[0] == tops[1]
    # Reports on single sets are whole by themselves, and stay.
    assert set(names_in(corpus / "out")) >= set(names_in(corpus / "alone"))
    assert (corpus / "out" / "noisy" / "report.json").exists() == ((before, after) != ("one", "one"))


def test_what_was_changed_in_an_earlier_report_stays(asr_command, corpus):
    out = corpus / "out"
    single = ("evaluate", corpus / "clean.jsonl", f"hypotheses={corpus}/ours-clean.jsonl", f"output_dir={out}")
    assert asr_command(*single).code == 0
    (out / "slices.csv").write_text("mine")
    (out / "report_files").mkdir()
    (out / "report_files" / "notes.txt").write_text("mine")
    (out / "confusions.csv").rename(corpus / "kept.csv")
    (out / "confusions.csv").symlink_to(corpus / "kept.csv")
    assert evaluate(asr_command, corpus, f"output_dir={out}").code == 0
    assert not (out / "utterances.csv").exists()
    assert (out / "slices.csv").read_text() == "mine"
    assert (out / "report_files" / "notes.txt").read_text() == "mine"
    assert (out / "confusions.csv").is_symlink()


def test_no_report_has_an_absolute_path(asr_command, corpus):
    assert evaluate(asr_command, corpus, f"output_dir={corpus / 'out'}").code == 0
    files = [path for path in (corpus / "out").rglob("*") if path.is_file()]
    assert len(files) > 15
    for path in files:
        assert str(corpus) not in path.read_text("utf-8"), path


def test_the_tables_have_the_numbers_of_the_report(asr_command, corpus):
    assert evaluate(asr_command, corpus, f"output_dir={corpus / 'out'}", "title=50 % of A_B").code == 0
    report = json.loads((corpus / "out" / "report.json").read_text("utf-8"))
    with (corpus / "out" / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["system"], row["set"]): row for row in csv.DictReader(file)}
    second = report["systems"][1]
    for one in report["sets"]:
        row, words = rows[second, one["name"]], one["systems"][1]["words"]
        assert float(row["wer"]) == pytest.approx(100 * words["rate"], abs=1e-3)
        assert float(row["wer_low"]) == pytest.approx(100 * words["intervals"][0]["low"], abs=1e-3)
        assert float(row["difference"]) == pytest.approx(-100 * one["comparisons"][0]["difference"], abs=1e-3)
        assert float(row["p_bootstrap"]) == one["comparisons"][0]["p"]
    latex = (corpus / "out" / "table.tex").read_text("utf-8")
    assert r"50 \% of A\_B" in latex
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if "&" in line]
    assert [line.count(" & ") for line in lines] == [3, 3]
    assert all(line.endswith(r" \\") for line in lines)
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    assert lines[1].count(r"$^\dagger$") == sum(
        each["comparisons"][0]["p"] < 0.05 for each in [*report["sets"], report["mean"]]
    )


def test_the_mean_of_one_set_is_the_set():
    first = score(WORDS, [word if place % 3 else "x" for place, word in enumerate(WORDS)])
    second = score(WORDS, [word if place % 2 else "x" for place, word in enumerate(WORDS)])
    speakers = [[None] * len(WORDS)]
    assert mean_rate([first], speakers).rate == first.words.rate
    single, mean = compare(first, second), compare_means([first], [second], speakers)
    assert (mean.difference, mean.interval, mean.p, mean.detectable) == (
        single.difference, single.interval, single.p, single.detectable
    )  # fmt: skip


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five():
    """Simulated: test sets whose true difference is the one that is called detectable."""
    rng = np.random.default_rng(5)
    references = ["w"] * 300

    def draw(share: float) -> list[str]:
        return ["w" if rng.random() >= share else "x" for _ in references]

    base, detectable = 0.2, None
    detectable = float(np.mean([
        compare(score(references, draw(base)), score(references, draw(base))).detectable or 0 for _ in range(5)
    ]))  # fmt: skip
    found = 0
    for _ in range(40):
        result = compare(score(references, draw(base)), score(references, draw(base + detectable)))
        found += result.p is not None and result.p < 0.05
    assert 0.6 <= found / 40 <= 0.95


def test_half_the_detectable_difference_takes_four_times_the_speech():
    references = ["w"] * 40
    result = compare(score(references, ["x"] * 4 + ["w"] * 36), score(references, ["w"] * 36 + ["x"] * 2 + ["w"] * 2))
    assert result.detectable is not None
    times = times_as_much_speech(result)
    assert times == pytest.approx((result.detectable / result.difference) ** 2)
    assert times_as_much_speech(compare(score(["w"], ["w"]), score(["w"], ["w"]))) is None
