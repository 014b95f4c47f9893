from __future__ import annotations

import gzip
import lzma

import numpy as np
import pytest

from asr.bundle import copy_bundle, load_bundle
from asr.language.arpa import read_arpa
from asr.language.ngram_file import load_ngram, read_provenance
from asr.settings.decoding import BeamConfig

from ..conftest import SAMPLES, write_rows

RECORDING = sorted(SAMPLES.glob("*.opus"))[0]
TEXT = "The cat sat.\nA dog saw the cat!\n\nThe dog sat on a cat.\n"


@pytest.fixture
def text(tmp_path):
    (tmp_path / "pets.txt").write_text(TEXT)
    return tmp_path / "pets.txt"


def test_a_text_becomes_a_language_model_that_decodes(asr_command, text, tiny_bundle, monkeypatch):
    monkeypatch.chdir(text.parent)
    outcome = asr_command("lm", text, "min_count=1", f"valid=[{text}]")
    assert outcome.code == 0, outcome.err
    first, second = outcome.out.splitlines()
    assert first.startswith("pets.lm: 10 1-grams, 14 2-grams, 14 3-grams, 0.0 MB")
    assert second.startswith("perplexity ")
    assert "on 14 words in 3 sentences, of which 0.00 % are unknown" in second
    assert "14 words in 3 sentences, a vocabulary of 7" in outcome.err
    assert read_provenance("pets.lm")["texts"] == ["pets.txt"]
    spoken = asr_command(
        "transcribe", RECORDING, f"bundle={tiny_bundle}", "decoder=beam", "decoder.lm=pets.lm",
        "decoder.open_vocabulary=false",
    )  # fmt: skip
    assert spoken.code == 0, spoken.err
    assert set(spoken.out.split()) <= {"the", "cat", "sat", "a", "dog", "saw", "on"}


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_texts_and_manifests_are_read(asr_command, tmp_path, pack):
    (tmp_path / "pets.txt.xz").write_bytes(pack(TEXT.encode()))
    manifest = write_rows(tmp_path / "m.jsonl", [{"audio_filepath": str(RECORDING), "text": "my Cat", "duration": 1}])
    output = tmp_path / "both.lm"
    assert asr_command("lm", tmp_path / "pets.txt.xz", manifest, f"output={output}", "min_count=1").code == 0
    assert {"cat", "my", "dog"} <= set(load_ngram(output).words)


@pytest.mark.parametrize("name", ["pets.arpa", "pets.arpa.gz", "pets.arpa.xz"])
def test_arpa_files_are_written_and_converted(asr_command, text, name):
    arpa, output = text.with_name(name), text.with_name("back.lm")
    assert asr_command("lm", text, "min_count=1", f"output={arpa}").code == 0
    assert asr_command("lm", arpa, f"output={output}").code == 0
    assert load_ngram(output).score_text(["the", "cat"]) == pytest.approx(read_arpa(arpa).score_text(["the", "cat"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.txt"], "none.txt: No such file or directory"),
        (["."], "is a folder"),
        (["pets.txt", "valid=[none.txt]"], "none.txt: No such file or directory"),
        (["pets.txt", "output=pets.bin"], "the name must end in .lm or in .arpa"),
        (["pets.txt", "ordr=3"], "did you mean 'order'"),
        (["pets.txt", "order=0"], "order must be at least 1"),
        (["pets.arpa", "pets.txt"], "pets.arpa is a finished model"),
        (["latin.txt"], "latin.txt:1: this line is not UTF-8 text"),
        (["cut.xz"], "cut.xz: cannot be read"),
        (["empty.txt"], "the text holds no words"),
        ([], "no file is named"),
    ],
)
def test_what_cannot_be_used_is_refused(asr_command, text, monkeypatch, arguments, message):
    monkeypatch.chdir(text.parent)
    for name, content in (
        ("pets.arpa", b""), ("latin.txt", b"na\xefve\n"), ("cut.xz", lzma.compress(b"a b\n" * 999)[:60]),
        ("empty.txt", b"\n"),
    ):  # fmt: skip
        (text.parent / name).write_bytes(content)
    outcome = asr_command("lm", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_small_text_makes_a_model_that_knows_its_words_and_min_count_is_named_where_it_would_not(
    asr_command, tmp_path
):
    (tmp_path / "grammar.txt").write_text("turn on the kitchen light\nopen a window please\n")
    output = tmp_path / "small.lm"
    assert asr_command("lm", tmp_path / "grammar.txt", f"output={output}").code == 0
    assert {"kitchen", "window"} <= set(load_ngram(output).words)
    refused = asr_command("lm", tmp_path / "grammar.txt", f"output={tmp_path / 'none.lm'}", "min_count=2")
    assert refused.code == 2
    assert "min_count=2 leaves a model without words" in refused.err
    assert not (tmp_path / "none.lm").exists()


LETTERS = "a b c\nb e e\nspell a c b\nc a b\na c\nspell b\n"


@pytest.fixture
def pets(asr_command, text):
    assert asr_command("lm", text, "min_count=1", f"output={text.with_name('base.lm')}").code == 0
    (text.parent / "letters.txt").write_text(LETTERS)
    return text.with_name("base.lm")


def test_a_text_adapts_a_language_model(asr_command, pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    outcome = asr_command("lm", "base=base.lm", "letters.txt", "valid=[letters.txt]")
    assert outcome.code == 0, outcome.err
    first, adapted, alone = outcome.out.splitlines()
    assert first.startswith("letters.lm: 14 1-grams")
    assert "of which 0.00 % are unknown" in adapted
    assert alone.startswith("base.lm alone: perplexity ")
    assert "0.00 %" not in alone
    assert "weight of the texts 0.50 (text_weight=0." in outcome.err
    provenance = read_provenance("letters.lm")
    assert provenance["texts"] == ["letters.txt"]
    assert provenance["base"]["name"] == "base.lm"
    assert provenance["base"]["texts"] == ["pets.txt"]
    assert provenance["text_weight"] == 0.5  # the base lacks these words, and other speech must not suffer
    model = load_ngram("letters.lm")
    assert {"spell", "dog"} <= set(model.words)
    assert model.score_text(["a", "c"])[1] > load_ngram("base.lm").score_text(["a", "c"])[1] + 1


def test_the_share_of_the_text_can_be_given(asr_command, pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    for weight in (0.1, 0.9):
        arguments = (f"text_weight={weight}", f"output={weight}.lm", "quantized=false")
        assert asr_command("lm", "base=base.lm", "letters.txt", *arguments).code == 0
    words = ["dog", "saw"]
    little, much, base = (np.exp(load_ngram(name).score_text(words)[1]) for name in ("0.1.lm", "0.9.lm", "base.lm"))
    assert little == pytest.approx(0.9 * base, rel=1e-3)  # the text has none of these words
    assert much == pytest.approx(0.1 * base, rel=1e-3)


def test_a_text_that_the_base_predicts_as_well_gets_a_small_weight(asr_command, pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    (pets.parent / "same.txt").write_text("the cat sat\nzebra xylophone\nquince medlar\na dog saw the cat\n")
    assert asr_command("lm", "base=base.lm", "same.txt").code == 0
    assert 0 < read_provenance("same.lm")["text_weight"] < 0.45


def test_finished_models_are_mixed(asr_command, pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    assert asr_command("lm", "letters.txt", "order=2", "output=letters.arpa").code == 0
    outcome = asr_command(
        "lm", "base=base.lm", "letters.arpa", "text_weight=0.25", "output=mixed.lm", "quantized=false"
    )
    assert outcome.code == 0, outcome.err
    base, letters, mixed = (
        np.exp(model.score_text(["a"])[0])
        for model in (load_ngram("base.lm"), read_arpa("letters.arpa"), load_ngram("mixed.lm"))
    )
    assert mixed == pytest.approx(0.75 * base + 0.25 * letters, rel=1e-3)
    assert read_provenance("mixed.lm")["model"]["name"] == "letters.arpa"


def test_the_base_may_be_a_bundle_or_an_arpa_file(asr_command, pets, tiny_bundle, monkeypatch):
    monkeypatch.chdir(pets.parent)
    copy_bundle(load_bundle(tiny_bundle), "with-lm", decoder=BeamConfig(lm="base.lm"))
    assert asr_command("lm", "pets.txt", "min_count=1", "output=base.arpa.gz").code == 0
    for base, name in (("./with-lm", "with-lm"), ("base.arpa.gz", "base.arpa.gz")):
        outcome = asr_command("lm", f"base={base}", "letters.txt", "output=out.lm")
        assert outcome.code == 0, outcome.err
        assert read_provenance("out.lm")["base"]["name"] == name
        assert {"spell", "cat"} <= set(load_ngram("out.lm").words)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["letters.txt", "text_weight=0.5"], "it needs base"),
        (["letters.txt", "base=base.lm", "text_weight=1"], "text_weight must be above 0 and below 1"),
        (["letters.txt", "base=tiny"], "base=tiny: this bundle has no language model"),
        (["letters.txt", "base=none.lm"], "none.lm: No such file"),
        (["letters.txt", "base=nobody"], "nobody: no such bundle"),
        (["letters.txt", "base=letters.txt"], "letters.txt"),
        (["letters.txt", "base=base.lm", "unit=characters"], "unit=words"),
        (["one.txt", "base=base.lm"], "text_weight=0.5"),
        (["x.arpa", "base=base.lm", "letters.txt"], "x.arpa is a finished model"),
        (["base.lm", "base=tiny"], "no language model"),
        (["base.lm", "base=base.lm", "output=out.lm"], "text_weight=0.1"),
        (
            ["base.lm", "base=characters.lm", "text_weight=0.1", "output=out.lm"],
            "base.lm is a model over words, the base over characters",
        ),
        (["base.lm"], "base.lm is a finished model: use it as it is"),
    ],
)
def test_what_cannot_be_adapted_is_refused(asr_command, pets, monkeypatch, arguments, message):
    monkeypatch.chdir(pets.parent)
    (pets.parent / "one.txt").write_text("a single sentence\n")
    (pets.parent / "x.arpa").write_text("")
    if "base=characters.lm" in arguments:
        assert asr_command("lm", "letters.txt", "unit=characters", "output=characters.lm").code == 0
    outcome = asr_command("lm", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["base=base.lm", "base.new.txt"],
        ["base=base.lm", "letters.txt", "output=base.lm"],
        ["base=base.lm", "letters.txt", "output=link.lm"],
        ["base=link.lm", "letters.txt", "output=base.lm"],
        ["base=./with-lm", "letters.txt", "output=with-lm/language.lm"],
        ["base=base.lm", "other.lm", "text_weight=0.5"],
        ["base=base.lm", "letters.txt", "valid=[other.lm]", "output=other.lm"],
        ["other.arpa", "output=other.arpa"],
        ["kind=lstm", "letters.txt", "valid=[other.npz]", "output=other.npz"],
    ],
)
def test_what_is_read_is_never_written_over(asr_command, pets, tiny_bundle, monkeypatch, arguments):
    monkeypatch.chdir(pets.parent)
    copy_bundle(load_bundle(tiny_bundle), "with-lm", decoder=BeamConfig(lm="base.lm"))
    (pets.parent / "base.new.txt").write_text(LETTERS)
    (pets.parent / "link.lm").symlink_to("base.lm")
    for name in ("other.lm", "other.arpa"):
        assert asr_command("lm", "letters.txt", f"output={name}").code == 0
    (pets.parent / "other.npz").write_bytes(b"")
    before = {path: path.read_bytes() for path in pets.parent.rglob("*") if path.is_file()}
    for overwrite in ((), ("overwrite=true",)):
        outcome = asr_command("lm", *arguments, *overwrite)
        assert outcome.code == 2, outcome.err
        assert "would be replaced, and is read" in outcome.err
    assert {path: path.read_bytes() for path in pets.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["other/letters.txt"],  # of the same name
        ["letters.csv"],
        ["letters.txt", "pets.txt"],
        ["letters.txt", "base=base.lm"],
        ["letters.arpa"],
        ["letters.arpa", "base=base.lm", "text_weight=0.5"],
    ],
)
def test_a_model_of_other_texts_is_only_replaced_where_it_is_named(asr_command, pets, monkeypatch, arguments):
    monkeypatch.chdir(pets.parent)
    (pets.parent / "other").mkdir()
    for name in ("other/letters.txt", "letters.csv"):
        (pets.parent / name).write_text(TEXT)
    assert asr_command("lm", "letters.txt", "output=letters.arpa").code == 0
    assert asr_command("lm", "letters.txt").code == 0
    before = (pets.parent / "letters.lm").read_bytes()
    outcome = asr_command("lm", *arguments)
    assert outcome.code == 2
    assert "letters.lm: exists, and may be of other texts: output=letters.lm replaces it" in outcome.err
    assert (pets.parent / "letters.lm").read_bytes() == before
    for _ in range(2):
        assert asr_command("lm", *arguments, "output=letters.lm").code == 0
    assert (pets.parent / "letters.lm").read_bytes() != before
    (pets.parent / "letters.lm").unlink()
    for _ in range(1 if "other/letters.txt" in arguments else 2):  # what the same command wrote
        assert asr_command("lm", *arguments).code == 0


@pytest.mark.parametrize(
    "setting", ["max_ngrams=3", "order=2", "threshold=0.1", "vocabulary=2", "min_count=100", "unit=characters"]
)
@pytest.mark.parametrize("form", [["x.arpa"], ["base=base.lm", "x.arpa", "text_weight=0.5"], ["kind=lstm", "x.txt"]])
def test_settings_without_an_effect_are_refused(asr_command, tmp_path, monkeypatch, form, setting):
    monkeypatch.chdir(tmp_path)
    outcome = asr_command("lm", *form, setting)
    assert outcome.code == 2
    if (form[0], setting) != ("kind=lstm", "unit=characters"):  # which has a message of its own
        assert f"{setting.partition('=')[0]}: no effect" in outcome.err


@pytest.mark.parametrize("setting", ["run_dir=r", "network.units=8", "training.minutes=1"])
def test_settings_of_another_kind_of_model_are_refused(asr_command, text, setting):
    outcome = asr_command("lm", text, setting)
    assert outcome.code == 2
    assert f"{setting.partition('=')[0].partition('.')[0]}: no effect without kind=lstm" in outcome.err
    outcome = asr_command("lm", text, "output=x.arpa", "quantized=false")
    assert outcome.code == 2
    assert "quantized: no effect on x.arpa" in outcome.err
