"""`asr lm kind=lstm`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.cli.lm_inputs import (
    OF_COUNTS,
    PIECES_SUFFIX,
    check_output,
    count_bytes,
    load_base,
    names_of_texts,
    refuse_without_effect,
    sentences_of,
)
from asr.cli.text_training import train_on_text
from asr.cli.training_run import import_keras
from asr.errors import ConfigError
from asr.files import typed_path, write_atomically
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageUnit
from asr.training.run_folder import new_run_dir

if TYPE_CHECKING:
    from asr.language.piece_text import PieceText

_log = logging.getLogger(__name__)

_MODEL, _TEXT = ".onnx", PIECES_SUFFIX


def run_lstm(files: Sequence[str], settings: LmConfig) -> int:
    """Run the command; returns its exit code."""
    from asr.language.piece_text import is_piece_text, save_piece_text

    if settings.unit is not LanguageUnit.words or settings.text_weight is not None:
        raise ConfigError("kind=lstm is for models over words, without text_weight")
    refuse_without_effect(settings, (*OF_COUNTS, "quantized"), "with kind=lstm")
    if settings.base is not None and not settings.valid:
        raise ConfigError("with kind=lstm, base is the n-gram model to compare with on held-out texts: it needs valid")
    count_bytes(settings.valid)  # a typo there is reported before the training
    ready = [name for name in files if name.endswith(_MODEL)]
    if ready:
        if len(files) > 1 or not settings.valid:
            raise ConfigError(f"{ready[0]} is a finished model: name it alone, with valid=[TEXT] to measure it")
        _measure(Path(ready[0]), settings)
        return 0
    output = _output(files, settings)
    if output.suffix == _TEXT:
        check_output(output, files, settings, is_ours=is_piece_text, read_provenance=_read_provenance)
        text = _text(files, settings)
        save_piece_text(output, text)
        print(f"{output}: {_describe(text)}, {output.stat().st_size / 1e6:.1f} MB")
        return 0
    check_output(output, files, settings, is_ours=_is_lstm, read_provenance=_read_provenance)
    if settings.run_dir is None:
        settings = replace(settings, run_dir=new_run_dir())
    text = _text(files, settings)
    _log.info(_describe(text))
    import_keras("asr lm kind=lstm", speech=False)
    from asr.training.language_run import GRAPH, train_language_model

    found, code = train_on_text(
        partial(train_language_model, text, settings),
        postfix="step {step}, {loss:.3f} nats a piece",
        again=["asr", "lm", "kind=lstm", *files, f"run_dir={settings.run_dir}"],
    )
    if found is None:
        return code
    # It may have been created meanwhile.
    check_output(output, files, settings, is_ours=_is_lstm, read_provenance=_read_provenance)
    write_atomically(output, (typed_path(str(settings.run_dir)) / GRAPH).read_bytes())
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    print(
        f"held-out texts: perplexity {found.perplexity:.1f} of a word, on {found.words:,} words in "
        f"{found.sentences:,} sentences"
    )
    if settings.valid:
        _measure(output, settings)
    return 0


def _output(files: Sequence[str], settings: LmConfig) -> Path:
    if settings.output is None:
        name = Path(files[0]).name
        return Path(f"{name.partition('.')[0] or 'language-model'}{_MODEL}")
    output = typed_path(settings.output)
    if output.suffix not in (_MODEL, _TEXT):
        raise ConfigError(f"output={settings.output}: with kind=lstm, the name must end in {_MODEL}, or in {_TEXT}")
    return output


def _text(files: Sequence[str], settings: LmConfig) -> PieceText:
    """The texts in pieces: those of a file that an earlier call wrote, or made of texts."""
    from tqdm import tqdm

    from asr.language.piece_text import load_piece_text, make_piece_text

    ready = [name for name in files if name.endswith(_TEXT)]
    if ready:
        if len(files) > 1:
            raise ConfigError(f"{ready[0]} holds texts in word pieces: it is trained on alone")
        text = load_piece_text(typed_path(ready[0]))
        if text.pieces.count > settings.network.pieces:
            raise ConfigError(
                f"{ready[0]} is written in {text.pieces.count} pieces: set network.pieces={text.pieces.count}"
            )
        return text
    with tqdm(bar_format="{desc} [{elapsed}]", disable=None, leave=False) as bar:
        return make_piece_text(
            sentences_of(files, settings),
            count=settings.network.pieces,
            held_out=settings.training.held_out,
            provenance={"texts": names_of_texts(files)},
            watch=bar.set_description,
        )


def _describe(text: PieceText) -> str:
    held_out = int(text.held_out.sum())
    return (
        f"{text.words(text.numbers):,} words in {len(text.numbers):,} word pieces of {text.pieces.count:,} kinds, "
        f"{held_out:,} of {len(text.held_out):,} sentences held out"
    )


def _is_lstm(path: Path) -> bool:
    from asr.errors import LanguageModelError
    from asr.language.neural import NeuralLanguageModel

    try:
        NeuralLanguageModel.load(path)
    except LanguageModelError:
        return False
    return True


def _read_provenance(path: Path) -> Mapping[str, Any]:
    from asr.language.neural import NeuralLanguageModel
    from asr.language.piece_text import load_piece_text

    if path.suffix == _TEXT:
        return load_piece_text(path).provenance
    return NeuralLanguageModel.load(path).header.provenance


def _measure(path: Path, settings: LmConfig) -> None:
    """Print the perplexities of an exported model on the texts of `valid`."""
    from tqdm import tqdm

    from asr.language.neural import NeuralLanguageModel
    from asr.language.neural_scoring import compare_with_ngram, score_sentences

    model = NeuralLanguageModel.load(path)
    base = load_base(settings.base) if settings.base is not None else None
    sentences = [one.split() for one in sentences_of(settings.valid, settings) if one]
    if not sentences:
        raise ConfigError("valid: it holds no words")
    with tqdm(total=len(sentences), desc="valid", disable=None, leave=False) as bar:
        scores = score_sentences(model, sentences, watch=bar.update)
    words = sum(map(len, sentences))
    perplexity = math.exp(-sum(float(one.sum()) for one in scores) / (words + len(sentences)))
    print(f"perplexity {perplexity:.1f} on {words:,} words in {len(sentences):,} sentences, none left out")
    if base is None:
        return
    found = compare_with_ngram(scores, sentences, base)
    print(
        f"without the {100 * found.unknown / found.words:.2f} % of the words that {settings.base} does not know: "
        f"{path.name} {found.lstm:.1f}, {settings.base} {found.ngram:.1f}, both {found.both:.1f} "
        f"(weight of the LSTM {found.weight:.2f})"
    )
