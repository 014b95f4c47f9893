#!/usr/bin/env python3
"""Error and time of our beam search beside others, on one model's log-probabilities and one language model.

The network runs once over the recordings of a manifest. Half of its speakers serve to find each decoder's weights (the
same number of trials for each, beam 32); all that is shown is of the other half. Every decoder is a process of its own
with one thread, ready before anything is timed; they take turns, round by round, and the median round counts.

    python -m venv peers
    peers/bin/pip install "numpy<2" pyctcdecode==0.5.0 kenlm flashlight-text==0.0.7 fast-ctc-decode==0.3.7
    asr lm books.txt.xz max_ngrams=4500000 output=books.lm
    python scripts/bench/decoders.py dev-clean-heldout.jsonl --lm books.lm --peers peers/bin/python --plot decoders.png

Peers that are not installed are left out. Prints a table, then one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

BEAMS = [8, 16, 32, 64, 128]
TUNING_BEAM = 32
TRIALS = 30
TUNING_UTTERANCES = 80
HOT_WORDS = 500

Decode = Callable[[list[Any], dict[str, float], int], list[str]]


# What runs in a worker: a function of (symbols, words, path of the ARPA file, path of the .lm file) that gets ready and
# returns one that decodes a list of log-probability matrices. The blank is symbol 0, the space symbol 1.


def ours(symbols: str, words: list[str], arpa: str, lm: str, *, hotwords: int = 0) -> Decode:
    from asr.decoding.assembly import load_language_model
    from asr.decoding.decoder import BeamDecoder
    from asr.settings.decoding import BeamConfig
    from asr.text.alphabet import Alphabet

    alphabet, model = Alphabet(symbols), load_language_model(lm) if lm else None
    names = random.Random(0).sample([word for word in words if len(word) > 4], hotwords)

    @lru_cache
    def decoder(beam: int, weights: tuple[tuple[str, float], ...]) -> BeamDecoder:
        named: dict[str, Any] = dict(weights)
        return BeamDecoder(alphabet, BeamConfig(beam_width=beam, hotwords=names, **named), model=model)

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        return [found[0].text for found in decoder(beam, tuple(weights.items())).decode(matrices)]

    return decode


def ours_one_by_one(symbols: str, words: list[str], arpa: str, lm: str) -> Decode:
    together = ours(symbols, words, arpa, lm)

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        return [text for matrix in matrices for text in together([matrix], weights, beam)]

    return decode


def pyctcdecode(symbols: str, words: list[str], arpa: str, lm: str) -> Decode:
    import kenlm  # noqa: F401  without it, pyctcdecode would decode without a language model
    from pyctcdecode import build_ctcdecoder

    decoder = build_ctcdecoder(["", *symbols], arpa, unigrams=words)

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        decoder.reset_params(alpha=weights["alpha"], beta=weights["beta"], unk_score_offset=weights["unk_score_offset"])
        return [decoder.decode(matrix, beam_width=beam) for matrix in matrices]

    return decode


def flashlight_lexicon(symbols: str, words: list[str], arpa: str, lm: str) -> Decode:
    from flashlight.lib.text.decoder import (
        CriterionType,
        KenLM,
        LexiconDecoder,
        LexiconDecoderOptions,
        SmearingMode,
        Trie,
    )
    from flashlight.lib.text.dictionary import Dictionary

    numbers = {symbol: number for number, symbol in enumerate(symbols, start=1)}
    vocabulary = Dictionary(["<unk>", *words])
    model = KenLM(arpa, vocabulary)
    trie = Trie(len(symbols) + 1, numbers[" "])
    start = model.start(False)
    for word in words:
        index = vocabulary.get_index(word)
        _, score = model.score(start, index)
        trie.insert([numbers[symbol] for symbol in word], index, score)
    trie.smear(SmearingMode.MAX)

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        options = LexiconDecoderOptions(
            beam_size=beam,
            beam_size_token=len(symbols) + 1,
            beam_threshold=weights["beam_threshold"],
            lm_weight=weights["lm_weight"],
            word_score=weights["word_score"],
            unk_score=float("-inf"),
            sil_score=0.0,
            log_add=True,
            criterion_type=CriterionType.CTC,
        )
        decoder = LexiconDecoder(options, trie, model, numbers[" "], 0, vocabulary.get_index("<unk>"), [], False)
        texts = []
        for matrix in matrices:
            found = decoder.decode(matrix.ctypes.data, len(matrix), matrix.shape[1])
            texts.append(" ".join(vocabulary.get_entry(word) for word in found[0].words if word >= 0))
        return texts

    return decode


def flashlight_lexicon_free(symbols: str, words: list[str], arpa: str, lm: str) -> Decode:
    from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions, ZeroLM

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        options = LexiconFreeDecoderOptions(
            beam_size=beam,
            beam_size_token=len(symbols) + 1,
            beam_threshold=25.0,
            lm_weight=0.0,
            sil_score=0.0,
            log_add=True,
            criterion_type=CriterionType.CTC,
        )
        decoder = LexiconFreeDecoder(options, ZeroLM(), 1, 0, [])
        texts = []
        for matrix in matrices:
            tokens = decoder.decode(matrix.ctypes.data, len(matrix), matrix.shape[1])[0].tokens
            kept = [now for before, now in itertools.pairwise([0, *tokens]) if now not in (before, 0, -1)]
            texts.append("".join(symbols[token - 1] for token in kept))
        return texts

    return decode


def fast_ctc_decode(symbols: str, words: list[str], arpa: str, lm: str) -> Decode:
    import fast_ctc_decode as peer

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        probabilities = [np.exp(matrix) for matrix in matrices]
        return [
            peer.beam_search(one, "_" + symbols, beam_size=beam, beam_cut_threshold=1e-3)[0] for one in probabilities
        ]

    return decode


def keras_ctc_decode(symbols: str, words: list[str], arpa: str, lm: str) -> Decode:
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def decode(matrices: list[Any], weights: dict[str, float], beam: int) -> list[str]:
        texts = []
        for start in range(0, len(matrices), 32):
            group = matrices[start : start + 32]
            lengths = np.array([len(one) for one in group], np.int32)
            padded = np.zeros((len(group), lengths.max(), group[0].shape[1]), np.float32)
            for place, one in enumerate(group):
                padded[place, : len(one)] = one
            decoded, _ = keras.ops.ctc_decode(
                padded, lengths, strategy="beam_search", beam_width=beam, top_paths=1, mask_index=0
            )
            texts += ["".join(symbols[n - 1] for n in row if n > 0) for row in np.asarray(decoded[0]).tolist()]
        return texts

    return decode


# name: (function, in the peers' environment, settings to search with a language model)
CONTENDERS: dict[str, tuple[Any, bool, dict[str, tuple[float, float]] | None]] = {
    "asr": (ours, False, {"lm_weight": (0.2, 1.6), "word_bonus": (-1.0, 4.0), "unknown_score": (-30.0, -5.0)}),
    "pyctcdecode": (pyctcdecode, True, {"alpha": (0.2, 1.6), "beta": (-1.0, 4.0), "unk_score_offset": (-30.0, -5.0)}),
    "flashlight, lexicon": (
        flashlight_lexicon,
        True,
        # Its weight is for logarithms to base 10.
        {"lm_weight": (0.5, 3.7), "word_score": (-1.0, 4.0), "beam_threshold": (10.0, 40.0)},
    ),
    "asr, one by one": (ours_one_by_one, False, {}),
    "asr, 500 hot words": (partial(ours, hotwords=HOT_WORDS), False, {}),
    "asr, no LM": (ours, False, None),
    "flashlight, lexicon-free, no LM": (flashlight_lexicon_free, True, None),
    "fast-ctc-decode, no LM": (fast_ctc_decode, True, None),
    "keras.ops.ctc_decode, no LM": (keras_ctc_decode, False, None),
}


def work(name: str, folder: Path) -> None:
    """Be a contender: get ready, say so, and decode when told to."""
    results, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    started = time.perf_counter()
    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "log_probs.npz") as arrays:
        parts = {
            part: [np.ascontiguousarray(arrays[f"{part}/{place}"]) for place in range(job[part])]
            for part in ("tuning", "measured")
        }
    function, _, space = CONTENDERS[name]
    try:
        decode = function(job["symbols"], job["words"], job["arpa"], job["lm"] if space is not None else "")
    except ImportError as error:
        print(json.dumps({"missing": str(error).splitlines()[0]}), file=results, flush=True)
        return
    print(json.dumps({"start": time.perf_counter() - started}), file=results, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        started, used = time.perf_counter(), time.process_time()
        texts = decode(parts[order["part"]], order["weights"], order["beam"])
        answer = {
            "seconds": time.perf_counter() - started,
            "core_seconds": time.process_time() - used,
            "texts": texts,
        }
        print(json.dumps(answer), file=results, flush=True)


class Contender:
    """The process of one."""

    def __init__(self, name: str, folder: Path, peers: str | None) -> None:
        self.name = name
        _, peer, self.space = CONTENDERS[name]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        python = peers if peer and peers else sys.executable
        self._process = subprocess.Popen(
            [python, __file__, "--worker", name, "--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | threads | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        self.ready = self._answer()
        self.weights: dict[str, float] = {}

    def decode(self, part: str, beam: int, weights: dict[str, float] | None = None) -> dict[str, Any]:
        """Texts and times."""
        order = {"part": part, "beam": beam, "weights": self.weights if weights is None else weights}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it go."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"missing": f"it ended with code {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer


def trials(space: dict[str, tuple[float, float]]) -> Iterator[dict[str, float]]:
    """Points that fill a space evenly, the same for all (a Halton sequence)."""
    for index in range(1, TRIALS + 1):
        point = {}
        for base, (name, (low, high)) in zip((2, 3, 5), space.items(), strict=False):
            share, factor, rest = 0.0, 1.0, index
            while rest:
                factor /= base
                share += factor * (rest % base)
                rest //= base
            point[name] = low + share * (high - low)
        yield point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("--lm", type=Path, help="language model of `asr lm`")
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--peers", help="Python of an environment with the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beams", type=int, nargs="+", default=BEAMS)
    parser.add_argument("--plot", type=Path, help="picture to draw")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder)
    elif options.manifest is None or options.lm is None:
        parser.error("a manifest and --lm are needed")
    else:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            bench(options, Path(scratch))


def prepare(options: argparse.Namespace, folder: Path) -> tuple[dict[str, list[str]], float]:
    """Write what the contenders need; returns the references of both halves, and the hours that are measured."""
    from asr.bundle import load_bundle
    from asr.corpus.manifest import read_manifest
    from asr.language.arpa import write_arpa
    from asr.language.ngram_file import load_ngram
    from asr.recognition.acoustic_output import AcousticOutput
    from asr.recognition.transcriber import Transcriber
    from asr.text.normalize import normalize_text

    bundle = load_bundle(options.bundle)
    utterances = read_manifest(options.manifest).utterances
    speakers = sorted({one.speaker or one.id for one in utterances})
    tuned = set(speakers[::2])
    parts: dict[str, list[Any]] = {"tuning": [], "measured": []}
    references: dict[str, list[str]] = {"tuning": [], "measured": []}
    seconds = 0.0
    for one, output in zip(
        utterances, Transcriber(bundle).run_model_on_files(u.audio for u in utterances), strict=True
    ):
        part = "tuning" if (one.speaker or one.id) in tuned else "measured"
        if not isinstance(output, AcousticOutput) or not output.stretches:
            continue
        if part == "tuning" and len(parts[part]) >= TUNING_UTTERANCES:
            continue
        # The windows of a long utterance, one behind the other: the same for all.
        parts[part].append(output.log_probs())
        references[part].append(normalize_text(one.text or "", bundle.normalizer))
        seconds += output.duration if part == "measured" else 0
    model = load_ngram(options.lm)
    with (folder / "lm.arpa").open("wb") as file:
        write_arpa(file, model)
    spellable = [word for word in model.words[3:] if not bundle.alphabet.unknown(word)]
    arrays = {f"{part}/{place}": one for part, several in parts.items() for place, one in enumerate(several)}
    np.savez(folder / "log_probs.npz", **arrays)
    job = {
        "symbols": bundle.alphabet.symbols,
        "words": spellable,
        "arpa": str(folder / "lm.arpa"),
        "lm": str(options.lm.resolve()),
        **{part: len(several) for part, several in parts.items()},
    }
    (folder / "job.json").write_text(json.dumps(job))
    return references, seconds / 3600


def bench(options: argparse.Namespace, folder: Path) -> None:
    from asr.evaluation.scoring import score

    references, hours = prepare(options, folder)

    def error(part: str, texts: list[str]) -> float:
        return 100 * (score(references[part], [" ".join(text.split()) for text in texts]).words.rate or 0)

    contenders = []
    for name in CONTENDERS:
        one = Contender(name, folder, options.peers)
        if "missing" in one.ready:
            print(f"{name} is left out: {one.ready['missing']}", file=sys.stderr)
        else:
            contenders.append(one)
    for one in contenders:
        if one.space:
            found = [
                (error("tuning", one.decode("tuning", TUNING_BEAM, weights)["texts"]), place, weights)
                for place, weights in enumerate(trials(one.space))
            ]
            one.weights = min(found)[2]
            shown = ", ".join(f"{name} {value:.2f}" for name, value in one.weights.items())
            print(f"{one.name}: {shown} ({min(found)[0]:.2f} % on the tuning half)", file=sys.stderr)
    by_name = {one.name: one for one in contenders}
    for name in ("asr, one by one", "asr, 500 hot words"):
        by_name[name].weights = by_name["asr"].weights
    times: dict[tuple[str, int], list[float]] = {}
    errors: dict[tuple[str, int], float] = {}
    for _ in range(options.rounds):
        for beam in options.beams:
            for one in contenders:
                answer = one.decode("measured", beam)
                times.setdefault((one.name, beam), []).append(answer["core_seconds"] / hours)
                errors[one.name, beam] = error("measured", answer["texts"])
    for one in contenders:
        one.close()
    first = min(first_result(folder) for _ in range(5))
    figures = {
        one.name: {
            "start": round(one.ready["start"], 2),
            "beams": {
                str(beam): {
                    "wer": round(errors[one.name, beam], 2),
                    "seconds_an_hour": round(statistics.median(times[one.name, beam]), 2),
                }
                for beam in options.beams
            },
        }
        for one in contenders
    }
    print(f"\n{hours:.2f} h of {options.manifest.name}, {options.bundle}, one thread each: WER, core-seconds an hour\n")
    print(f"{'':34}" + "".join(f"{'beam ' + str(beam):>18}" for beam in options.beams))
    for name, figure in figures.items():
        cells = [f"{one['wer']:6.2f} % {one['seconds_an_hour']:7.2f} s" for one in figure["beams"].values()]
        print(f"{name:34}" + "".join(f"{cell:>18}" for cell in cells))
    print(f"\nfirst text of a fresh process, language model included: {first:.2f} s")
    if options.plot:
        draw(options.plot, figures)

    def ratio(peer: str) -> float | None:
        beam = "32"
        if peer not in figures or beam not in figures["asr"]["beams"]:
            return None
        ours, theirs = figures["asr"]["beams"][beam], figures[peer]["beams"][beam]
        return round(float(theirs["seconds_an_hour"]) / float(ours["seconds_an_hour"]), 2)

    print(
        json.dumps(
            {
                "vs_pyctcdecode": ratio("pyctcdecode"),
                "vs_flashlight": ratio("flashlight, lexicon"),
                "hotwords_cost": round(
                    statistics.median(times["asr, 500 hot words", 32]) / statistics.median(times["asr", 32]) - 1, 3
                )
                if 32 in options.beams
                else None,
                "first_result_seconds": round(first, 2),
                "wer": {name: figure["beams"].get("32", {}).get("wer") for name, figure in figures.items()},
                "hours": round(hours, 3),
                "weights": {one.name: {k: round(v, 3) for k, v in one.weights.items()} for one in contenders},
                "decoders": figures,
            }
        )
    )


FIRST_RESULT = """
import json, sys
import numpy as np
from asr.decoding import make_decoder
from asr.settings.decoding import BeamConfig
from asr.text.alphabet import Alphabet

job = json.load(open(sys.argv[1] + "/job.json"))
with np.load(sys.argv[1] + "/log_probs.npz") as arrays:
    matrix = arrays["measured/0"]
print(make_decoder(Alphabet(job["symbols"]), BeamConfig(lm=job["lm"])).decode([matrix])[0][0].text)
"""


def first_result(folder: Path) -> float:
    """Seconds from nothing to the first text of a fresh process, language model included."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_RESULT, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def draw(path: Path, figures: dict[str, Any]) -> None:
    """Error against time, a line a decoder, a point a beam width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, one in figures.items():
        points = one["beams"].values()
        axes.plot(
            [point["seconds_an_hour"] for point in points],
            [point["wer"] for point in points],
            ".--" if name.endswith("no LM") else "o-",
            label=name,
            color="crimson" if name == "asr" else None,
        )
    axes.set(xlabel="core-seconds an hour of audio", ylabel="word error rate", xscale="log")
    axes.set_title(f"Beam widths {', '.join(next(iter(figures.values()))['beams'])}, from left to right")
    axes.yaxis.set_major_formatter(PercentFormatter(100, decimals=0))
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
