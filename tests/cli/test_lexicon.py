"""A lexicon of a manifest, a text and a language model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from asr.language.ngram_file import save_ngram
from asr.language.ngram_training import tokenize, train_ngram
from asr.pronunciation.dictionary import read_dictionary
from asr.pronunciation.g2p import G2p, G2pSettings
from asr.settings.commands import LmConfig


def test_a_lexicon_holds_the_words_of_all_its_inputs(asr_command, tmp_path):
    (tmp_path / "dictionary").write_text("dog D AO G\nthe DH AH\nthe DH IY\n")
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "text": "the dog's dog"}))
    (tmp_path / "text.txt").write_text("The dogs, b b b!\nzat\nrare\n")
    settings = LmConfig(order=2, min_count=1)
    save_ngram(tmp_path / "x.lm", train_ngram(tokenize(["the doglike dog"] * 9, settings), settings))
    weights = {name: np.ones(shape, np.float32) for name, shape in G2pSettings(units=4).shapes().items()}
    # Every step prefers phone 6, AY, to the blank: any word is one AY.
    weights["symbols/bias"] = np.tile(np.eye(1, 40, 6, dtype=np.float32)[0] * 9, 2)
    G2p(G2pSettings(units=4), weights).save(tmp_path / "g2p.npz")
    inputs = [tmp_path / name for name in ("m.jsonl", "text.txt", "x.lm")]
    options = [f"dictionary={tmp_path / 'dictionary'}", f"g2p={tmp_path / 'g2p.npz'}", "most=4"]
    done = asr_command("lexicon", *inputs, *options, f"output={tmp_path / 'lexicon.txt'}")
    assert done.code == 0, done.err
    # Of the text's words four are taken: "b", and the first three of those that occur once.
    assert dict(read_dictionary(tmp_path / "lexicon.txt")) == {
        "b": (("B", "IY"),),
        "dog": (("D", "AO", "G"),),
        "dog's": (("D", "AO", "G", "Z"),),
        "doglike": (("D", "AO", "G", "L", "AY", "K"),),
        "dogs": (("D", "AO", "G", "Z"),),
        "the": (("DH", "AH"), ("DH", "IY")),
        "zat": (("AY",),),
    }
    report = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "rule for an inflected word 3 words 2 running words (22.22%) dog's dogs doglike" in report
    assert "letters (G2P) 1 words 1 running words (11.11%) zat" in report


def test_what_is_wrong_with_a_lexicons_inputs_is_one_line(asr_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dictionary").write_text("dog\n")
    Path("words").write_text("dog\n")
    for arguments, message in {
        ("words", "dictionary=dictionary", "output=x"): "asr: error: dictionary:1: ",
        ("words",): "asr: error: no output is named: output=LEXICON",
        ("none", "dictionary=words", "output=x"): "asr: error: ",
        ("words", "g2p=words", "output=x"): "asr: error: words: not a model that predicts phones from letters",
        ("none.lm", "output=x"): "asr: error: none.lm: No such file",
    }.items():
        done = asr_command("lexicon", *arguments)
        assert done.code == 2
        assert done.err.startswith(message)
        assert done.err.count("\n") == 1
        assert not Path("x").exists()


def test_a_lexicon_replaces_only_what_the_command_wrote(asr_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dictionary").write_text("dog D AO G\n")
    Path("words").write_text("dog\n")
    Path("mine.txt").write_text("precious")
    command = ["lexicon", "words", "dictionary=dictionary"]
    assert asr_command(*command, "output=mine.txt").code == 2
    assert Path("mine.txt").read_text() == "precious"
    assert asr_command(*command, "output=lexicon.txt").code == 0
    assert asr_command(*command, "output=lexicon.txt").code == 0
    assert asr_command(*command, "output=mine.txt", "overwrite=true").code == 0
    assert Path("mine.txt").read_text() == "dog D AO G\n"


def test_a_lexicon_never_replaces_what_it_is_made_of(asr_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dictionary").write_text("dog D AO G\nthe DH AH\n")
    Path("words").write_text("dog the\n")
    Path("link").symlink_to("mine")
    assert asr_command("lexicon", "words", "dictionary=dictionary", "output=mine").code == 0
    Path("words").write_text("dog\n")
    for arguments in (["dictionary=mine", "output=mine"], ["dictionary=mine", "output=link"], ["output=words"]):
        for overwrite in ([], ["overwrite=true"]):
            done = asr_command("lexicon", "words", *arguments, *overwrite)
            assert done.code == 2
            assert "would be replaced, and is read" in done.err
    assert sorted(read_dictionary(Path("mine"))) == ["dog", "the"]
    assert Path("words").read_text() == "dog\n"
