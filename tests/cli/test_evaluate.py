from __future__ import annotations

import json
import os

import pytest

from ..conftest import SAMPLES, write_rows

MANIFEST = SAMPLES / "samples.jsonl"


@pytest.fixture
def texts(tmp_path):
    """A manifest of three texts and perfect hypotheses for it."""
    rows = [
        {"audio_filepath": "a.wav", "text": "It's one."},
        {"audio_filepath": "b.wav", "text": ""},
        {"id": "third", "audio_filepath": "c.wav", "text": "three four"},
    ]
    manifest = write_rows(tmp_path / "m.jsonl", rows)
    return manifest, [
        {"id": "a", "text": "its one"},
        {"audio_filepath": "b.wav", "text": "um"},
        {"id": "third", "text": "three four"},
    ]


def test_a_bundle_is_scored_on_a_manifest_and_reports_are_written(asr_command, tiny_bundle, tmp_path):
    report = tmp_path / "report"
    outcome = asr_command("evaluate", MANIFEST, f"bundle={tiny_bundle}", f"output_dir={report}", "worst=2")
    assert outcome.code == 0
    assert "error rate" in outcome.out
    assert outcome.out.count("REF:") == 2
    assert {path.name for path in report.iterdir()} == {
        *(
            ".asr-outputs.jsonl",
            "report.html",
            "report.json",
            "report.txt",
            "summary.md",
            "table.tex",
            "table.csv",
            "utterances.csv",
            "slices.csv",
            "confusions.csv",
        )
    }
    value = json.loads((report / "report.json").read_text())
    assert value["references"]["utterances"] == 6
    (system,) = value["systems"]
    assert system["about"]["decoder"] == "greedy"
    assert system["about"]["speed"]["audio_seconds"] > 10
    assert system["about"]["speed"]["core_seconds"] > 0
    assert system["about"]["speed"]["machine"]["cores"] >= 1


def test_hypotheses_are_joined_by_id_and_an_empty_reference_counts(asr_command, texts, tmp_path):
    manifest, rows = texts
    hypotheses = write_rows(tmp_path / "h.jsonl", rows[::-1])
    outcome = asr_command("evaluate", manifest, f"hypotheses={hypotheses}")
    assert outcome.code == 0
    words = next(line for line in outcome.out.splitlines() if line.startswith("words")).split()
    assert words[-5:] == ["2", "1", "0", "1", "4"]


def test_only_insertions_have_no_rate(asr_command, tmp_path):
    manifest = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "text": ""}])
    hypotheses = write_rows(tmp_path / "h.jsonl", [{"id": "a", "text": "two words"}])
    assert "n/a (2 insertions)" in asr_command("evaluate", manifest, f"hypotheses={hypotheses}").out


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        (1, None, "m.jsonl:2: 'b' has no text in"),
        (None, {"id": "fourth", "text": "x"}, "'fourth' is in none of the references"),
        (None, {"id": "a", "text": "x"}, "h.jsonl:4: a second text for 'a'"),
        (None, {"text": "x"}, "h.jsonl:4: neither id nor audio_filepath"),
        (None, {"id": "q"}, "h.jsonl:4: text is missing"),
    ],
)
def test_any_mismatch_is_refused(asr_command, texts, tmp_path, drop, add, message):
    manifest, rows = texts
    rows = [row for number, row in enumerate(rows) if number != drop] + ([add] if add else [])
    hypotheses = write_rows(tmp_path / "h.jsonl", rows)
    outcome = asr_command("evaluate", manifest, f"hypotheses={hypotheses}")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""


def test_normalisation_is_a_choice(asr_command, texts, tmp_path):
    manifest, rows = texts
    hypotheses = write_rows(tmp_path / "h.jsonl", rows)
    outcome = asr_command("evaluate", manifest, f"hypotheses={hypotheses}", "normalizer=none")
    words = next(line for line in outcome.out.splitlines() if line.startswith("words")).split()
    assert words[-5:] == ["3", "2", "0", "1", "4"]


def test_an_unreadable_recording_counts_as_an_empty_text(asr_command, tiny_bundle, tmp_path):
    rows = [json.loads(line) for line in MANIFEST.read_text().splitlines()[:1]]
    rows[0]["audio_filepath"] = str(SAMPLES / rows[0]["audio_filepath"])
    manifest = write_rows(tmp_path / "m.jsonl", [*rows, {"audio_filepath": "gone.wav", "text": "three lost words"}])
    outcome = asr_command("evaluate", manifest, f"bundle={tiny_bundle}")
    assert outcome.code == 1
    assert "gone.wav: no such file" in outcome.err
    assert "1 unreadable recordings count as empty texts" in outcome.out


def test_a_broken_manifest_is_refused_with_every_line(asr_command, tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"text": "no audio"}\n{broken\n')
    outcome = asr_command("evaluate", path)
    assert outcome.code == 2
    assert "2 problems" in outcome.err
    assert f"{path}:1" in outcome.err
    assert f"{path}:2" in outcome.err


def test_two_manifests_with_one_id_are_refused(asr_command, texts):
    manifest, _ = texts
    outcome = asr_command("evaluate", manifest, manifest)
    assert outcome.code == 2
    assert "is the same file as" in outcome.err


def test_no_manifest_is_a_usage_error(asr_command):
    assert asr_command("evaluate").code == 2


@pytest.fixture
def systems(tmp_path):
    """Forty utterances, and the texts of a good and a bad system."""
    rows = [{"id": f"u{number}", "audio_filepath": "a.wav", "text": "one two three four"} for number in range(40)]
    write_rows(tmp_path / "m.jsonl", rows)
    write_rows(tmp_path / "good.jsonl", rows)
    bad = [row | {"text": "one too three four" if number % 3 == 0 else row["text"]} for number, row in enumerate(rows)]
    write_rows(tmp_path / "bad.jsonl", bad)
    return tmp_path


def test_a_significant_worsening_against_a_baseline_has_its_own_exit_code(asr_command, systems):
    manifest, report = systems / "m.jsonl", systems / "report"
    assert asr_command("evaluate", manifest, f"hypotheses={systems / 'good.jsonl'}", f"output_dir={report}").code == 0
    arguments = ("evaluate", manifest, f"hypotheses={systems / 'bad.jsonl'}", f"baseline={report / 'report.json'}")
    outcome = asr_command(*arguments, f"output_dir={systems / 'second'}")
    assert outcome.code == 3
    assert "+8.75 points of WER" in outcome.out
    assert "paired bootstrap, p = 0.0002" in outcome.out
    assert "worse than" in outcome.err
    value = json.loads((systems / "second" / "report.json").read_text())
    assert value["baseline"]["difference"] == pytest.approx(0.0875)
    assert value["baseline"]["is_regression"]
    assert "A regression of more than 0 points" in (systems / "second" / "summary.md").read_text()
    assert asr_command(*arguments, "max_regression=9").code == 0
    same = asr_command("evaluate", manifest, f"hypotheses={systems / 'good.jsonl'}", arguments[-1])
    assert same.code == 0
    assert "+0.00 points of WER" in same.out


def test_a_baseline_of_something_else_is_refused(asr_command, systems):
    manifest, report = systems / "m.jsonl", systems / "report"
    good = f"hypotheses={systems / 'good.jsonl'}"
    asr_command("evaluate", manifest, good, f"output_dir={report}")
    value = json.loads((report / "report.json").read_text())
    for change, message in (
        (lambda rows: rows[0].update(id="other"), "has other utterances (it lacks 'u0')"),
        (lambda rows: rows.append(rows[0] | {"id": "more"}), "has other utterances (it has 41, these are 40)"),
        (lambda rows: rows[3].update(reference="One two"), "the reference of 'u3' was another one"),
        (lambda rows: rows[3].pop("systems"), "is not a report.json"),
    ):
        broken = json.loads(json.dumps(value))
        change(broken["utterances"])
        (systems / "broken.json").write_text(json.dumps(broken))
        outcome = asr_command("evaluate", manifest, good, f"baseline={systems / 'broken.json'}")
        assert outcome.code == 2
        assert message in outcome.err
    assert "cannot be read" in asr_command("evaluate", manifest, good, "baseline=nothing.json").err


@pytest.mark.parametrize(
    "content",
    [
        '{"format": 2, "utterances": [{"id": "u0", "reference": "a", "systems": [{"hypothesis": null}]}]}',
        '{"format": 2, "utterances": [{"id": ["u0"], "reference": "a", "systems": [{"hypothesis": "a"}]}]}',
        '{"format": 2, "utterances": [{"id": "u0", "reference": 1, "systems": [{"hypothesis": "a"}]}]}',
        '{"format": 2, "utterances": 1}',
        '{"sets": [{"name": ["m"], "report": "m/report.json"}]}',
        '{"sets": [{"name": "m", "report": 1}]}',
        '{"sets": [1]}',
        "[1]",
        100_000 * "[",
        5000 * "9",
        "\0",
    ],
)
def test_a_baseline_that_is_no_report_is_refused_in_one_line(asr_command, systems, content):
    path = systems / "broken.json"
    path.write_text(content)
    outcome = asr_command("evaluate", systems / "m.jsonl", f"hypotheses={systems / 'good.jsonl'}", f"baseline={path}")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"asr: error: baseline={path}: is not a report.json of `asr evaluate`\n"


@pytest.mark.parametrize("name", [".", "", "/", "..", "../a"])
def test_a_folder_or_nothing_is_no_file_of_references(asr_command, systems, name, monkeypatch):
    (systems / "a").mkdir()
    monkeypatch.chdir(systems / "a")
    for names in ([name], [name, "../m.jsonl"], ["../m.jsonl", name]):
        outcome = asr_command("evaluate", *names, "hypotheses=../good.jsonl")
        assert (outcome.code, outcome.out) == (2, "")
        assert ("a folder, not a manifest" if name else "an argument is empty") in outcome.err


@pytest.fixture
def piped():
    """A pipe, by its name, which gives some content once."""
    ends = []

    def make(content: bytes) -> str:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        ends.append(reading)
        return f"/dev/fd/{reading}"

    yield make
    for end in ends:
        os.close(end)


def test_references_and_hypotheses_may_be_pipes(asr_command, systems, piped):
    manifest, good = systems / "m.jsonl", systems / "good.jsonl"
    for references, hypotheses in ((manifest, piped(good.read_bytes())), (piped(manifest.read_bytes()), good)):
        outcome = asr_command("evaluate", references, f"hypotheses={hypotheses}")
        assert outcome.code == 0, outcome.err
        assert "40 utterances, 160 words" in outcome.out
    compared = asr_command("evaluate", manifest, f"hypotheses={good}", f"against=[{piped(good.read_bytes())}]")
    assert "+0.00 points of WER" in compared.out
    other = asr_command("evaluate", piped(b"one two\nthree\n"), f"hypotheses={good}")
    assert other.code == 2
    assert "not JSON lines (such as" in other.err


@pytest.mark.parametrize("setting", ["baseline", "scoring_rules", "synonyms"])
def test_a_pipe_is_refused_where_a_file_is_read_twice(asr_command, systems, piped, setting):
    manifest, good = systems / "m.jsonl", systems / "good.jsonl"
    outcome = asr_command("evaluate", manifest, f"hypotheses={good}", f"{setting}={piped(b'one, 1')}")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is a pipe, which can be read only once: write it to a file" in outcome.err


def test_several_systems_are_compared_in_one_command(asr_command, systems):
    good, bad = systems / "good.jsonl", systems / "bad.jsonl"
    ctm = systems / "third.ctm"
    ctm.write_text(
        "".join(f"u{number} 1 {place} 0.5 {word}\n" for number in range(39) for place, word in enumerate("abc"))
    )
    outcome = asr_command("evaluate", systems / "m.jsonl", f"hypotheses={good}", f"against=[{bad},{ctm}]")
    assert outcome.code == 0
    assert f"{good} against {bad}: -8.75 points of WER" in outcome.out
    assert f"{good} against {ctm}: -100.00 points of WER" in outcome.out
    assert "has no word for 1 utterances (u39, ...): they count as empty" in outcome.err


def test_a_bundle_is_compared_with_its_own_greedy_texts(asr_command, tiny_bundle, tmp_path):
    arguments = ("evaluate", MANIFEST, f"bundle={tiny_bundle}", "worst=0", f"output_dir={tmp_path / 'report'}")
    outcome = asr_command(*arguments, "decoder=beam", "against=[greedy]")
    assert outcome.code == 0
    assert "beam of 32 against" in outcome.out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [one["about"]["decoder"] for one in report["systems"]] == ["beam of 32", "greedy"]
    assert report["systems"][1]["about"]["speed"]["peak_memory_mb"] is None
    itself = asr_command(*arguments, "against=[greedy]")
    assert itself.code == 2
    assert "is compared with itself" in itself.err
    hypotheses = tmp_path / "h.jsonl"
    hypotheses.write_bytes(MANIFEST.read_bytes())
    assert "is for a bundle" in asr_command("evaluate", MANIFEST, f"hypotheses={hypotheses}", "against=[greedy]").err


def test_a_system_of_neither_file_nor_bundle_is_named(asr_command, systems):
    outcome = asr_command("evaluate", systems / "m.jsonl", f"hypotheses={systems / 'good.jsonl'}", "against=[nothing]")
    assert outcome.code == 2
    assert "nothing" in outcome.err
    missing = asr_command("evaluate", systems / "m.jsonl", "hypotheses=none.ctm")
    assert missing.code == 2
    assert "none.ctm: cannot be read" in missing.err


def test_a_field_to_slice_by_that_no_utterance_has_is_refused(asr_command, tmp_path):
    rows = [{"id": name, "text": "one", "accent": "x"} for name in "ab"]
    manifest = write_rows(tmp_path / "r.jsonl", rows)
    outcome = asr_command("evaluate", manifest, f"hypotheses={manifest}", "slice_by=[duration,acent]")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.endswith(
        "slice_by: no utterance has a field 'acent'; did you mean 'accent'?; there are duration, speaker, accent\n"
    )


def test_two_text_files_are_enough(asr_command, tmp_path):
    (tmp_path / "r.txt").write_text("one two\nthree\n")
    (tmp_path / "h.txt").write_text("one too\nthree\n")
    outcome = asr_command(
        "evaluate", tmp_path / "r.txt", f"hypotheses={tmp_path / 'h.txt'}", f"output_dir={tmp_path / 'o'}"
    )
    assert outcome.code == 0
    assert "33.33 %" in outcome.out
    assert "33.33 %" in (tmp_path / "o" / "report.html").read_text("utf-8")
    alone = asr_command("evaluate", tmp_path / "r.txt")
    assert alone.code == 2
    assert "a text without a recording" in alone.err


def test_the_english_policy_counts_spellings_and_contractions_as_equal(asr_command, tmp_path):
    (tmp_path / "r.txt").write_text("I'm the colour of twenty one\n")
    (tmp_path / "h.txt").write_text("i am the color of 21\n")
    arguments = ("evaluate", tmp_path / "r.txt", f"hypotheses={tmp_path / 'h.txt'}")
    assert " 0.00 %" in asr_command(*arguments, "english=true").out
    assert " 0.00 %" not in asr_command(*arguments).out


def test_large_recordings_lie_in_a_folder_beside_the_page(asr_command, tiny_bundle, tmp_path):
    report = tmp_path / "report"
    arguments = ("evaluate", MANIFEST, f"bundle={tiny_bundle}", "worst=0", f"output_dir={report}")
    assert asr_command(*arguments, "embed_megabytes=0").code == 0
    assert len(list((report / "report_files").glob("[0-9]*"))) == 12
    page = (report / "report.html").read_text("utf-8")
    assert "report_files/00001." in page
    assert "data:audio" not in page
    assert asr_command(*arguments).code == 0
    assert not (report / "report_files").exists()
    assert "data:audio" in (report / "report.html").read_text("utf-8")
    assert asr_command(*arguments, "page_audio=false").code == 0
    assert "data:audio" not in (report / "report.html").read_text("utf-8")


def test_a_folder_that_cannot_be_made_is_reported_first(asr_command, tiny_bundle, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = asr_command("evaluate", MANIFEST, f"bundle={tiny_bundle}", f"output_dir={tmp_path / 'file'}")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "no folder can be made there" in outcome.err


def test_a_recording_is_no_manifest(asr_command, write_audio):
    outcome = asr_command("evaluate", write_audio("a.wav"))
    assert outcome.code == 2
    assert "not a text file" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_references_with_alternatives_are_scored_compared_and_gated(asr_command, tmp_path):
    for name, lines in {
        "ref.trn": "{ um / uh / @ } the owners (a-1)\nhe {recognizes/recognises} it (a-2)\nto { be / @ } (a-3)\n",
        "good.trn": "uh the owners (a-1)\nhe recognises it (a-2)\nto be (a-3)\n",
        "other.trn": "the owner (a-1)\nhe recognizes it (a-2)\nto (a-3)\n",
    }.items():
        (tmp_path / name).write_text(lines)
    references, good, other = (tmp_path / name for name in ("ref.trn", "good.trn", "other.trn"))
    outcome = asr_command(
        "evaluate", references, f"hypotheses={good}", f"against=[{other}]", f"output_dir={tmp_path / 'report'}"
    )
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(one["words"]["errors"], one["words"]["reference_length"]) for one in report["systems"]] == [(0, 8), (1, 6)]
    assert [one["reference"] for one in report["utterances"]] == [
        "{ um / uh / @ } the owners", "he { recognizes / recognises } it", "to { be / @ }"
    ]  # fmt: skip
    assert report["comparisons"][0]["difference"] == pytest.approx(-1 / 6)
    gate = asr_command("evaluate", references, f"hypotheses={other}", f"baseline={tmp_path / 'report' / 'report.json'}")
    assert gate.code == 0, gate.err
    changed = tmp_path / "changed.trn"
    changed.write_text(references.read_text().replace("to { be / @ }", "to be"))
    refused = asr_command("evaluate", changed, f"hypotheses={other}", f"baseline={tmp_path / 'report' / 'report.json'}")
    assert refused.code == 2
    assert "the reference of 'a-3' was another one" in refused.err


def test_two_channels_and_other_formats_are_refused_in_one_line(asr_command, tmp_path):
    manifest = write_rows(tmp_path / "m.jsonl", [{"id": "call", "audio_filepath": "call.wav", "text": "hello there"}])
    (tmp_path / "h.ctm").write_text("call A 0 0.3 hello\ncall B 0.1 0.2 yes\ncall A 0.4 0.3 there\n")
    (tmp_path / "h.txt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello there\n")
    for name, message in (("h.ctm", "has the channels A, B of 'call'"), ("h.txt", "looks like SRT subtitles")):
        outcome = asr_command("evaluate", manifest, f"hypotheses={tmp_path / name}")
        assert outcome.code == 2
        assert message in outcome.err
        assert len(outcome.err.splitlines()) == 1


def test_invisible_characters_are_no_errors(asr_command, tmp_path):
    (tmp_path / "r.txt").write_text("hello\u200b world\nsofthyphen\n", "utf-8")
    (tmp_path / "h.txt").write_text("hello world\nsoft\u00adhyphen\ufeff\n", "utf-8")
    for normalizer in ("standard", "none"):
        outcome = asr_command(
            "evaluate", tmp_path / "r.txt", f"hypotheses={tmp_path / 'h.txt'}", f"normalizer={normalizer}"
        )
        assert "words                     0.00 %" in outcome.out
