"""Scripts written without spaces, from recordings to every format, to alignments and to error rates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from praatio import textgrid

from asr.bundle import Bundle, load_bundle, save_bundle
from asr.decoding import make_decoder
from asr.decoding.confidence import FEATURES, Calibration
from asr.recognition.aligner import align_text, cut_utterances, spell
from asr.recognition.joining import decode_recordings
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import BeamConfig, DecoderConfig, GreedyConfig
from asr.settings.transcripts import TranscriptFormat
from asr.text.alphabet import Alphabet
from asr.text.segments import LINE_CHARACTERS, LONGEST_SECONDS, display_width
from asr.writers.table import write

from ..conftest import RATE, SAMPLES, write_rows

HAN = "的一是不了人我在有他这中大来上国个到说们为子和你地出道也"
THAI = "กขคงจชดตถทนบปผพมยรลวสหอาะเแโ"
MIXED = " " + HAN[:20] + "abcdefg"


def rewritten(tiny_bundle: Path, folder: Path, symbols: str) -> Bundle:
    """The tiny bundle, with other symbols in the place of its own."""
    one = load_bundle(tiny_bundle)
    assert len(symbols) == len(one.alphabet.symbols)
    weights = tuple(0.1 * number for number in range(len(FEATURES)))
    save_bundle(
        folder, weights=one.weights(), log_mel=one.log_mel, normalizer=one.normalizer, alphabet=Alphabet(symbols),
        model=one.model, confidence={"greedy": Calibration(weights), "beam": Calibration(weights)},
    )  # fmt: skip
    return load_bundle(folder)


@pytest.fixture(scope="module")
def han(tiny_bundle, tmp_path_factory) -> Bundle:
    return rewritten(tiny_bundle, tmp_path_factory.mktemp("bundles") / "han", HAN)


@pytest.fixture(scope="module")
def thai(tiny_bundle, tmp_path_factory) -> Bundle:
    return rewritten(tiny_bundle, tmp_path_factory.mktemp("bundles") / "thai", THAI)


@pytest.fixture(scope="module")
def mixed(tiny_bundle, tmp_path_factory) -> Bundle:
    return rewritten(tiny_bundle, tmp_path_factory.mktemp("bundles") / "mixed", MIXED)


@pytest.fixture(params=["han", "thai"])
def bundle(request) -> Bundle:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """A minute of speech and pauses, which is decoded in several stretches."""
    parts = [soundfile.read(path, dtype="float32")[0] for path in sorted(SAMPLES.glob("*.opus"))[:3]]
    return np.concatenate([part for one in parts for part in (one, np.zeros(25 * RATE, np.float32))])


@pytest.mark.parametrize("decoder", [GreedyConfig(), BeamConfig(beam_width=4, n_best=3)], ids=["greedy", "beam"])
def test_no_space_is_put_between_stretches_or_words(bundle, speech, decoder: DecoderConfig):
    transcriber = Transcriber(bundle, decoder=decoder)
    output = transcriber.run_model_on_samples(speech)
    assert len(output.stretches) > 1
    transcript = transcriber.transcribe_samples(speech)
    assert len(transcript.text) > 20
    assert " " not in "".join([transcript.text, *transcript.alternatives])
    ((best, *_),) = decode_recordings([output], make_decoder(bundle.alphabet, decoder))
    assert best.text == transcript.text
    assert len(best.steps) == len(best.text)
    assert "".join(word.text for word in transcript.words) == transcript.text
    assert all(len(word.text) == 1 and word.end - word.start < 0.1 for word in transcript.words)
    assert all(word.confidence is not None for word in transcript.words)


@pytest.mark.parametrize("decoder", [GreedyConfig(), BeamConfig(beam_width=4)], ids=["greedy", "beam"])
def test_a_text_of_two_scripts_keeps_the_spaces_that_the_model_writes(mixed, speech, decoder: DecoderConfig):
    transcript = Transcriber(mixed, decoder=decoder).transcribe_samples(speech)
    texts = [word.text for word in transcript.words]
    rebuilt = "".join(space + text for space, text in zip(transcript.spaces, texts, strict=True))
    assert rebuilt == transcript.text
    assert " " in transcript.text
    assert any(len(text) > 1 for text in texts)
    assert all(len(text) == 1 or text.isascii() for text in texts)


def test_every_format_is_written_without_spaces(bundle, speech, tmp_path):
    transcript = Transcriber(bundle, decoder=GreedyConfig()).transcribe_samples(speech)

    def run(kind: TranscriptFormat) -> str:
        return write(transcript, kind, name="minute")

    text = run(TranscriptFormat.txt).removesuffix("\n")
    row = json.loads(run(TranscriptFormat.jsonl))
    assert (row["text"], "".join(word["text"] for word in row["words"])) == (text, text)
    for kind in (TranscriptFormat.srt, TranscriptFormat.vtt):
        blocks = [one.split("\n") for one in run(kind).removeprefix("WEBVTT\n\n").strip().split("\n\n")]
        assert "".join(line for block in blocks for line in block[2:]) == text
        assert all(display_width(line) <= LINE_CHARACTERS for block in blocks for line in block[2:])
        assert len(blocks) > row["duration"] / LONGEST_SECONDS / 4
    rows = [line.split("\t") for line in run(TranscriptFormat.tsv).splitlines()[1:]]
    assert "".join(one[2] for one in rows) == text
    assert all(int(end) - int(start) <= 1000 * LONGEST_SECONDS + 1 for start, end, _ in rows)
    ctm = [line.split(" ") for line in run(TranscriptFormat.ctm).splitlines()]
    assert [one[4] for one in ctm] == [*text]
    assert {len(one) for one in ctm} == {6}
    stm = [line.split(" ") for line in run(TranscriptFormat.stm).splitlines()]
    assert {len(one) for one in stm} == {6}
    assert "".join(one[5] for one in stm) == text
    (tmp_path / "minute.TextGrid").write_text(run(TranscriptFormat.textgrid), "utf-8")
    grid = textgrid.openTextgrid(str(tmp_path / "minute.TextGrid"), includeEmptyIntervals=False)
    for name in grid.tierNames:
        assert "".join(one.label for one in grid.getTier(name).entries) == text


def test_what_was_written_has_no_errors(han, asr_command, tmp_path):
    paths = sorted(SAMPLES.glob("*.opus"))[:2]
    texts = [one.text for one in Transcriber(han).transcribe_files(paths)]
    rows = [
        {"id": path.stem, "audio_filepath": str(path), "text": text} for path, text in zip(paths, texts, strict=True)
    ]
    manifest = write_rows(tmp_path / "m.jsonl", rows)
    for kind in ("jsonl", "ctm"):
        outcome = asr_command("transcribe", manifest, f"bundle={han.path}", f"format={kind}")
        (tmp_path / f"h.{kind}").write_text(outcome.out, "utf-8")
    systems = (f"bundle={han.path}", f"hypotheses={tmp_path / 'h.jsonl'}", f"hypotheses={tmp_path / 'h.ctm'}")
    for number, system in enumerate(systems):
        report = tmp_path / f"report{number}"
        outcome = asr_command("evaluate", manifest, system, f"output_dir={report}")
        assert outcome.code == 0, outcome.err
        (result,) = json.loads((report / "report.json").read_text())["systems"]
        # The scoring policy has words between spaces, of which there are none: the character error rate is what counts.
        assert result["words"]["reference_length"] == len(texts)
        assert result["characters"]["reference_length"] == sum(map(len, texts))
        assert result["words"]["errors"] == result["characters"]["errors"] == 0


def test_a_known_text_is_aligned_character_by_character(han, speech, asr_command, tmp_path):
    text = Transcriber(han, decoder=GreedyConfig()).transcribe_samples(speech).text
    minute = tmp_path / "minute.wav"
    soundfile.write(minute, speech, RATE, subtype="FLOAT")
    written = f"「{text[:5]}, {text[5:]}。"
    (tmp_path / "text.txt").write_text(written, "utf-8")
    command = ("align", minute, tmp_path / "text.txt", f"bundle={han.path}")
    row = json.loads(asr_command(*command).out)
    assert row["text"] == written
    assert [word["text"][:1] for word in row["words"][1:]] == [*text[1:]]
    # All that the model wrote is where it wrote it.
    assert np.median([word["confidence"] for word in row["words"]]) > 0.9
    ctm = asr_command(*command, "format=ctm").out.splitlines()
    assert {len(line.split(" ")) for line in ctm} == {6}
    outcome = asr_command(*command, f"cut_dir={tmp_path / 'cut'}", "cut_seconds=9")
    assert outcome.code == 0, outcome.err
    cuts = [json.loads(line)["text"] for line in (tmp_path / "cut" / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert len(cuts) > 3
    assert "".join(cuts).replace(" ", "") == written.replace(" ", "")


def test_a_known_text_of_two_scripts_keeps_its_spaces(mixed, speech):
    transcriber = Transcriber(mixed, decoder=GreedyConfig())
    output = transcriber.run_model_on_samples(speech)
    spelling = spell("— 我在 Bad。中 国 7", mixed)
    assert spelling.words == ("— 我", "在", "Bad。", "中", "国 7")
    assert spelling.labels == ("我", "在", "bad", "中", "国")
    assert spelling.unknown == ("7",)
    assert spelling.text == "— 我在 Bad。中 国 7"
    transcript = align_text(output, spelling, mixed, transcriber.step_seconds)
    assert transcript.text == spelling.text
    assert transcript.spaces == ["", "", " ", "", " "]
    (cut,) = cut_utterances(transcript.words, longest=1e3, duration=transcript.duration, spaces=transcript.spaces)
    assert cut.text == spelling.text


def test_a_hot_word_of_a_script_without_spaces_is_found_anywhere(bundle):
    symbols = bundle.alphabet.symbols
    probabilities = np.full((4, bundle.alphabet.size), 1e-6)
    for step, (number, share) in enumerate([(1, 1.0), (0, 1.0), (2, 0.6), (0, 1.0)]):
        probabilities[step, [number, 3]] = share, 1 - share + 1e-6
    log_probs = np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    plain = make_decoder(bundle.alphabet, BeamConfig())
    hot = make_decoder(bundle.alphabet, BeamConfig(hotwords=[symbols[0] + symbols[2]]), normalizer=bundle.normalizer)
    assert plain.decode([log_probs])[0][0].text == symbols[:2]
    assert hot.decode([log_probs])[0][0].text == symbols[0] + symbols[2]
