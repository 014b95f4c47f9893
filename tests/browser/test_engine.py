"""The recogniser in JavaScript, against the one in Python: the same arrays in, the same numbers and texts out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr

from asr import load_bundle, write
from asr.audio.features import reference_log_mel
from asr.audio.load import load_audio
from asr.bundle import Bundle, save_bundle
from asr.decoding.context import mix
from asr.decoding.decoder import make_decoder
from asr.language.ngram_file import save_ngram
from asr.recognition.transcriber import Transcriber
from asr.recognition.windows import Stitcher, WindowCutter
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.settings.features import Normalization
from asr.text.pieces import PieceAlphabet
from asr.text.transcript import Transcript, Word

from ..conftest import RATE, SAMPLES
from ..decoding.conftest import SENTENCES, log_softmax, train
from .conftest import packed, unpacked

SAMPLE = SAMPLES / "422-122949-0004.opus"
PANGRAM = "the quick brown fox jumps over the lazy dog's mat"


@pytest.fixture(scope="module")
def tiny() -> Bundle:
    return load_bundle("tiny")


def test_hashes_are_those_of_the_search(run_engine, rng):
    numbers = [-1, 0, 5, *rng.integers(0, 2**40, 200).tolist()]
    (found,) = run_engine(("hashes", {"numbers": numbers}))
    wanted, hashes = [], np.zeros(1, np.uint64)
    for number in numbers:
        hashes = mix(hashes, np.array([number]))
        wanted.append([int(hashes[0]) >> 32, int(hashes[0]) & 0xFFFFFFFF])
    assert found == wanted


@pytest.mark.parametrize("normalization", list(Normalization))
def test_log_mel_is_that_of_librosa(run_engine, write_model, tiny, rng, normalization):
    samples = np.concatenate(
        [load_audio(SAMPLE, sample_rate=RATE), np.zeros(RATE, np.float32), rng.standard_normal(801).astype(np.float32)]
    )
    settings = replace(tiny.log_mel.settings, normalization=normalization)
    mels = settings.mels
    statistics = {"mean": rng.normal(-9, 2, mels), "deviation": rng.uniform(0, 4, mels)}
    log_mel = replace(
        tiny.log_mel, settings=settings, **{name: one.astype(np.float32) for name, one in statistics.items()}
    )
    model = write_model(replace(tiny, log_mel=log_mel))
    (found,) = run_engine(("features", {"model": model, "samples": packed(samples)}))
    if normalization is Normalization.none:  # librosa takes seconds to load
        assert np.abs(unpacked(found["logMel"]) - reference_log_mel(samples, settings)).max() < 1e-3
    assert np.abs(unpacked(found["logMel"]) - log_mel.log_mel(samples)).max() < 1e-4
    assert np.abs(unpacked(found["normalized"]) - log_mel(samples)).max() < 1e-3


@pytest.mark.parametrize("seconds", [0.0, 0.3, 34.9, 95.0])
def test_windows_and_stretches_are_those_of_python(run_engine, rng, seconds):
    step, symbols = 640, 5
    samples = rng.standard_normal(int(seconds * RATE)).astype(np.float32)
    for start in range(0, len(samples), 3 * RATE):  # pauses, to cut in
        samples[start : start + RATE // 4] *= 0.01
    log_probs = log_softmax(6 * rng.standard_normal((len(samples) // step + 2, symbols))).astype(np.float32)
    sizes, silent = [1000, 50_000, 7], [3]
    cutter, stitcher = WindowCutter(RATE, step), Stitcher(step / RATE)
    windows = [*cutter.push(samples), *cutter.finish()]
    stretches = []
    for place, window in enumerate(windows):
        output = log_probs[window.first_step : window.first_step - (-len(window.samples) // step)]
        stretches += stitcher.push(window, None if place in silent else output)
    stretches += stitcher.finish()
    (found,) = run_engine(
        ("windows", {
            "samples": packed(samples), "rate": RATE, "step": step, "sizes": sizes, "logProbs": packed(log_probs),
            "stepSeconds": step / RATE, "silent": silent,
        })
    )  # fmt: skip
    assert found["windows"] == [[one.first_step, one.cut, one.end, len(one.samples)] for one in windows]
    assert [one[:2] for one in found["stretches"]] == [[one.first_step, len(one.log_probs)] for one in stretches]
    sums = [one.log_probs.sum(dtype=np.float64) for one in stretches]
    assert [one[2] for one in found["stretches"]] == pytest.approx(sums, rel=1e-6)


def check_decoding(run_engine, model, decoder, utterances, block: int) -> None:
    """The texts, scores and steps of Python's decoder, of whole utterances and of streams."""
    (found,) = run_engine(
        ("decode", {"model": model, "utterances": [packed(one) for one in utterances], "blocks": block})
    )
    for one, (hypothesis, *_), log_probs in zip(found, decoder.decode(utterances), utterances, strict=True):
        assert one["text"] == hypothesis.text
        assert one["score"] == pytest.approx(hypothesis.score, rel=1e-9)
        assert one["steps"] == list(hypothesis.steps)
        stream, partial = decoder.stream(), []
        for start in range(0, len(log_probs), block):
            stream.advance(log_probs[start : start + block])
            partial.append([stream.best().text, stream.settled, stream.last_step])
        assert one["partial"] == partial
        assert one["streamed"] == stream.finish()[0].text


def spoken(rng: np.random.Generator, numbers: list[int], symbols: int, *, noise: float = 1.6) -> np.ndarray:
    """Log-probabilities that a text explains best, mostly."""
    logits = noise * rng.standard_normal((3 * len(numbers) + 4, symbols))
    for place, number in enumerate(numbers):
        logits[3 * place + 2, number] += 5
        logits[3 * place + 3, 0] += 4
    return log_softmax(logits).astype(np.float32)


WORD_SETTINGS = {"lm_weight": 0.7, "word_bonus": 0.4, "unknown_score": -5.0}


@pytest.mark.parametrize(
    ("settings", "unit"),
    [
        (None, None),
        ({"beam_width": 8}, None),
        ({"beam_width": 16, "min_symbol_log_prob": None, "score_margin": None, **WORD_SETTINGS}, "words"),
        ({"beam_width": 24, "prior_weight": 0.3, **WORD_SETTINGS}, "words"),
        ({"beam_width": 12, "open_vocabulary": False, **WORD_SETTINGS}, "words"),
        ({"beam_width": 12, "lm_weight": 0.6, "word_bonus": 0.2}, "characters"),
    ],
)
def test_characters_are_decoded_as_in_python(run_engine, write_model, tiny, tmp_path, rng, settings, unit):
    decoder = GreedyConfig()
    if settings is not None:
        lm = None
        if unit is not None:
            lm = str(tmp_path / "small.lm")
            order = {"order": 4} if unit == "characters" else {}
            save_ngram(lm, train([*SENTENCES, PANGRAM], unit=unit, **order))
        decoder = BeamConfig(lm=lm, **settings)
    utterances = [spoken(rng, tiny.alphabet.encode(text), tiny.alphabet.size) for text in SENTENCES]
    utterances.append(np.log(np.full((0, tiny.alphabet.size), 0.5, np.float32)))
    python = make_decoder(tiny.alphabet, decoder, priors=tiny.priors)
    check_decoding(run_engine, write_model(tiny, decoder), python, utterances, 7)


def test_phones_are_decoded_as_in_python(run_engine, write_model, tmp_path, rng):
    """With the shipped lexicon and a small language model: words alike in sound, and words cut off by the end."""
    bundle = load_bundle("en")
    texts = [*SENTENCES, "their two sons write right there", "i read the red one"]
    save_ngram(tmp_path / "small.lm", train([one for one in texts for _ in range(2)]))
    decoder = replace(bundle.decoder, lm=str(tmp_path / "small.lm"), beam_width=24, second_pass=None)
    python = make_decoder(
        bundle.alphabet, decoder, priors=bundle.priors, normalizer=bundle.normalizer, phones=bundle.phones
    )
    lexicon = python._words.lexicon
    first = {}
    for node, count in enumerate(lexicon.counts.tolist()):
        path, place = [], node
        for reading in range(count):
            if not path:
                while place:
                    path.append(int(lexicon.tree.labels[place]))
                    place = int(lexicon.parents[place])
            first.setdefault(lexicon.spellings[int(lexicon.word(np.array(node), np.array(reading)))], path[::-1])
    utterances = [
        spoken(rng, [number for word in text.split() for number in first[word]], bundle.phones.size) for text in texts
    ]
    utterances.append(utterances[0][:-9])
    check_decoding(run_engine, write_model(bundle, decoder), python, utterances, 5)


def test_pieces_are_decoded_as_in_python(run_engine, write_model, tiny, tmp_path, rng):
    pieces = ("\u2581", "\u2581the", "\u2581c", "at", *sorted(set("".join(SENTENCES)) - {" "}))
    alphabet = PieceAlphabet(pieces, tuple(-float(place) for place in range(len(pieces))))
    weights = {
        name: array if array.shape[-1:] != (29,) else array[..., : alphabet.size]
        for name, array in tiny.weights().items()
    }
    save_bundle(
        tmp_path / "pieces", weights=weights, log_mel=tiny.log_mel, normalizer=tiny.normalizer, alphabet=alphabet,
        model=tiny.model,
    )  # fmt: skip
    bundle = load_bundle(tmp_path / "pieces")
    save_ngram(tmp_path / "small.lm", train(SENTENCES))
    utterances = [spoken(rng, alphabet.encode(text), alphabet.size) for text in SENTENCES]
    for number, decoder in enumerate((
        GreedyConfig(),
        BeamConfig(lm=str(tmp_path / "small.lm"), beam_width=16, **WORD_SETTINGS),
        BeamConfig(lm=str(tmp_path / "small.lm"), beam_width=16, open_vocabulary=False, **WORD_SETTINGS),
    )):  # fmt: skip
        python = make_decoder(alphabet, decoder)
        check_decoding(run_engine, write_model(bundle, decoder, f"model{number}"), python, utterances, 6)


def test_words_have_the_times_and_confidences_of_python(run_engine, write_model, tiny):
    with Transcriber(tiny, workers=1) as transcriber:
        result = next(iter(transcriber.recognize_files([SAMPLE])))
    (stretch,) = result.acoustic_output.stretches
    (transcript,) = result.transcripts
    assert any(one.confidence for one in transcript.words)
    ((found,),) = run_engine(
        ("decode", {"model": write_model(tiny), "utterances": [packed(stretch.log_probs)], "blocks": 50})
    )
    assert [(one["word"], one["start"], one["confidence"]) for one in found["words"]] == [
        (one.text, one.start, one.confidence) for one in transcript.words
    ]


def test_downloads_are_the_files_of_the_command(run_engine, rng):
    transcripts = [Transcript("", "", 1.0, 0.0, (), ())]
    vocabulary = ["a", "it's", "wonderful", "<i>", "1:00:00,5", "{x}", "-->", "\u6f22\u5b57", "R&D", "extraordinarily"]
    for _ in range(20):
        seconds, words = 0.0, []
        for _ in range(int(rng.integers(1, 60))):
            seconds += float(rng.choice([0.01, 0.1, 0.5, 2.5]))
            words.append(Word(str(rng.choice(vocabulary)), round(seconds, 3), round(seconds + 0.32, 3)))
            seconds += 0.32
        transcripts.append(Transcript("", " ".join(one.text for one in words), seconds, 0.0, tuple(words), ()))
    given = [
        {
            "text": one.text,
            "duration": one.duration,
            "words": [{"word": word.text, "start": word.start, "end": word.end} for word in one.words],
        }
        for one in transcripts
    ]
    formats = ("txt", "srt", "vtt")
    (found,) = run_engine(("subtitles", {"transcripts": given, "formats": [*formats, "json"]}))
    for one, files in zip(transcripts, found, strict=True):
        assert {kind: files[kind] for kind in formats} == {kind: write(one, kind) for kind in formats}


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_resampling_is_that_of_a_good_filter_whatever_the_blocks(run_engine, rng, rate):
    samples = soxr.resample(load_audio(SAMPLE, sample_rate=RATE)[: 2 * RATE], RATE, rate, quality="VHQ")
    call = {"samples": packed(samples), "from": rate, "to": RATE}
    whole, blocks = map(
        unpacked, run_engine(("resample", {**call, "sizes": [len(samples)]}), ("resample", {**call, "sizes": [441, 7]}))
    )
    np.testing.assert_array_equal(whole, blocks)
    wanted = soxr.resample(samples, rate, RATE, quality="VHQ")
    assert abs(len(whole) - len(wanted)) <= 1
    count = min(len(whole), len(wanted))
    error = np.sqrt(np.mean((whole[:count] - wanted[:count]) ** 2) / np.mean(wanted**2))
    assert error < 0.01  # their filters end at slightly different frequencies


def test_wav_files_are_read_in_every_format_and_others_are_left_to_the_browser(run_engine, tmp_path, rng):
    samples = rng.uniform(-0.9, 0.9, (4000, 2))
    wanted = {}
    for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        for suffix in ("WAV", "WAVEX", "RF64"):
            path = tmp_path / f"{kind}.{suffix}"
            soundfile.write(path, samples, 22_050, subtype=kind, format=suffix)
            wanted[str(path)] = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    others = [tmp_path / "broken.wav", tmp_path / "text.wav", tmp_path / "law.wav"]
    others[0].write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    others[1].write_bytes(b"no sound")
    soundfile.write(others[2], samples, 8000, subtype="ULAW")
    (found,) = run_engine(("wav", {"files": [*wanted, *map(str, others)]}))
    for one, expected in zip(found, wanted.values(), strict=False):
        assert one["rate"] == 22_050
        np.testing.assert_allclose(unpacked(one["samples"]), expected, atol=1e-6)
    assert found[len(wanted) :] == [None] * len(others)
