"""`asr lm`."""

from __future__ import annotations

import gzip
import io
import logging
import lzma
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.cli.lm_inputs import (
    ARPA_SUFFIXES,
    OF_COUNTS,
    check_output,
    count_bytes,
    load_base,
    names_of_texts,
    path_of_base,
    refuse_without_effect,
    sentences_of,
)
from asr.errors import ConfigError, LanguageModelError
from asr.files import typed_path, write_atomically
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageModelKind

if TYPE_CHECKING:
    from asr.language.ngram import NgramModel
    from asr.language.ngram_training import Tokens

_log = logging.getLogger(__name__)

USAGE = "asr lm TEXT... [key=value...]"
TEXT = """
Trains an n-gram language model on texts with one sentence per line, plain or compressed (.gz, .bz2, .xz), or on the
texts of manifests (.jsonl). They are normalised like training texts. An ARPA file of KenLM or SRILM is converted into
a file that is smaller and loads at once. With base=en the English language model is adapted to the texts, in seconds:
give sentences like those that you expect, one per line. With kind=lstm an LSTM is trained, for a second pass over what
the search found; Ctrl-C saves and stops, and the same command with run_dir=FOLDER resumes.
"""
EXAMPLES = """\
  asr lm books.txt.xz
  asr lm books.txt.xz train.jsonl valid=[valid.jsonl] max_ngrams=1000000 output=english.lm
  asr lm base=en commands.txt
  asr lm base=english.lm commands.txt text_weight=0.3 valid=[valid.jsonl] output=adapted.lm
  asr lm thai.txt unit=characters order=6
  asr lm kind=lstm books.txt.xz training.minutes=60 valid=[valid.jsonl]
  asr lm 3-gram.arpa.gz output=3-gram.lm
  asr transcribe talk.wav decoder.lm=english.lm
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: LmConfig | None = settings_or_answer("lm", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if settings.kind is LanguageModelKind.lstm:
        from asr.cli.lm_lstm import run_lstm

        return run_lstm(split.files, settings)
    refuse_without_effect(settings, ("network", "training", "run_dir"), "without kind=lstm")
    output = _output(split.files, settings)
    models = [name for name in split.files if name.endswith((".lm", *ARPA_SUFFIXES))]
    if models and len(split.files) > 1:
        raise ConfigError(f"{models[0]} is a finished model, not a text to train on: name it alone")
    if models and settings.base is None and models[0].endswith(".lm"):
        raise ConfigError(f"{models[0]} is a finished model: use it as it is, or adapt another one with it (base=en)")
    if models:
        refuse_without_effect(settings, ("unit", *OF_COUNTS), f"on {models[0]}, which is a finished model")
    if output.suffix != ".lm":
        refuse_without_effect(settings, ("quantized",), f"on {output}, an ARPA file")
    _check_output(output, split.files, settings)
    count_bytes(settings.valid)  # a typo there is reported before the training
    base = None
    if settings.base is not None:
        base = load_base(settings.base)
        model, provenance = (_mix if models else _adapt)(base, split.files, settings)
    else:
        model, provenance = _convert(models[0]) if models else _train(split.files, settings)
    _check_output(output, split.files, settings)  # it may have been created meanwhile
    _save(output, model, settings, provenance)
    counts = ", ".join(f"{count:,} {order}-grams" for order, count in enumerate(model.counts, start=1))
    print(f"{output}: {counts}, {output.stat().st_size / 1e6:.1f} MB")
    if settings.valid:
        print(_perplexity(model, settings))
        if base is not None:
            print(f"{settings.base} alone: {_perplexity(base, settings)}")
    _log.info("asr transcribe FILE decoder.lm=%s", output)
    return 0


def _output(files: Sequence[str], settings: LmConfig) -> Path:
    if settings.output is None:
        name = Path(files[0]).name
        return Path(f"{name.partition('.')[0] or 'language-model'}.lm")
    output = typed_path(settings.output)
    if not output.name.endswith((".lm", *ARPA_SUFFIXES)):
        raise ConfigError(f"output={settings.output}: the name must end in .lm or in {', '.join(ARPA_SUFFIXES)}")
    return output


def _train(files: Sequence[str], settings: LmConfig) -> tuple[NgramModel, dict[str, object]]:
    from tqdm import tqdm

    from asr.language.ngram_training import steps_of_training, tokenize, train_ngram

    tokens = tokenize(sentences_of(files, settings), settings)
    _log.info(_describe(tokens))
    with tqdm(
        total=steps_of_training(settings), bar_format="{desc}: {n}/{total} [{elapsed}]", disable=None, leave=False
    ) as bar:

        def show(doing: str) -> None:
            bar.set_description(doing)
            bar.update()

        model = train_ngram(tokens, settings, watch=show)
    return model, _provenance(files, tokens, settings)


def _adapt(base: NgramModel, files: Sequence[str], settings: LmConfig) -> tuple[NgramModel, dict[str, object]]:
    from tqdm import tqdm

    from asr.language.ngram_adaptation import adapt_ngram

    sentences = list(sentences_of(files, settings))
    with tqdm(bar_format="{desc} [{elapsed}]", disable=None, leave=False) as bar:
        adapted = adapt_ngram(base, sentences, settings, watch=bar.set_description)
    _log.info(_describe(adapted.tokens))
    weight, likeliest = adapted.text_weight, adapted.likeliest
    if likeliest is None:
        how = "as given"
    elif likeliest > weight:
        how = f"text_weight={likeliest:.2f} predicts held-out parts of them best, and other speech worse"
    else:
        how = "which predicts held-out parts of them best"
    _log.info("weight of the texts %.2f (%s), of the base %.2f", weight, how, 1 - weight)
    provenance = _provenance(files, adapted.tokens, settings)
    provenance |= {"base": _provenance_of(str(settings.base)), "text_weight": round(adapted.text_weight, 4)}
    return adapted.model, provenance


def _mix(base: NgramModel, files: Sequence[str], settings: LmConfig) -> tuple[NgramModel, dict[str, object]]:
    """Interpolate the base with a finished model."""
    from asr.language.ngram_interpolation import interpolate_ngrams

    weight, other = settings.text_weight, load_base(files[0])
    if weight is None:
        raise ConfigError(
            f"{files[0]} is a finished model, for which no weight can be estimated: set one, such as text_weight=0.1"
        )
    if other.unit is not base.unit:
        raise ConfigError(f"{files[0]} is a model over {other.unit.value}, the base over {base.unit.value}")
    model = interpolate_ngrams([base, other], [1 - weight, weight])
    names = {"base": _provenance_of(str(settings.base)), "model": _provenance_of(files[0])}
    return model, names | {"text_weight": weight}


def _describe(tokens: Tokens) -> str:
    return (
        f"{tokens.count:,} words in {tokens.sentences:,} sentences, a vocabulary of {len(tokens.words) - 3:,}: "
        f"{100 * tokens.unknown / tokens.count:.2f} % of the words are unknown"
    )


def _provenance(files: Sequence[str], tokens: Tokens, settings: LmConfig) -> dict[str, object]:
    return {
        "texts": names_of_texts(files),
        "words": tokens.count,
        "sentences": tokens.sentences,
        "unknown": tokens.unknown,
        "order": settings.order,
        "max_ngrams": settings.max_ngrams,
        "threshold": settings.threshold,
    }


def _provenance_of(name: str) -> dict[str, object]:
    return {"name": Path(name).name} | _read_provenance(path_of_base(name))


def _read_provenance(path: Path) -> dict[str, object]:
    from asr.language.ngram_file import is_ngram_file, read_provenance

    return read_provenance(path) if is_ngram_file(path) else {}


def _convert(name: str) -> tuple[NgramModel, dict[str, object]]:
    from tqdm import tqdm

    from asr.language.arpa import read_arpa

    try:
        size = os.path.getsize(name)
        with tqdm(total=size, desc=name, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            return read_arpa(name, watch=lambda position: bar.update(position - bar.n)), {"arpa": Path(name).name}
    except OSError as error:
        raise LanguageModelError(name, error.strerror or str(error)) from error


def _save(output: Path, model: NgramModel, settings: LmConfig, provenance: dict[str, object]) -> None:
    from asr.language.arpa import write_arpa
    from asr.language.ngram_file import save_ngram

    if output.suffix == ".lm":
        save_ngram(output, model, quantized=settings.quantized, provenance=provenance, overwrite=True)
        return
    content = io.BytesIO()
    with _packed(content, output.suffix) as file:
        write_arpa(file, model)
    write_atomically(output, content.getvalue())


def _check_output(output: Path, files: Sequence[str], settings: LmConfig) -> None:
    check_output(output, files, settings, is_ours=_is_language_model, read_provenance=_read_provenance)


def _is_language_model(path: Path) -> bool:
    """Whether a file is one that this command wrote."""
    from asr.language.arpa import is_own_arpa
    from asr.language.ngram_file import is_ngram_file

    return is_ngram_file(path) or is_own_arpa(path)


@contextmanager
def _packed(file: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    if suffix == ".gz":
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
            yield packed  # type: ignore[misc]
    elif suffix == ".xz":
        with lzma.open(file, "wb") as packed:
            yield packed
    else:
        yield file


def _perplexity(model: NgramModel, settings: LmConfig) -> str:
    from asr.language.ngram_training import measure_perplexity

    measured = measure_perplexity(model, sentences_of(settings.valid, settings))
    if not measured.words:
        raise ConfigError("valid: it holds no words")
    return (
        f"perplexity {measured.perplexity:.1f} on {measured.words:,} words in {measured.sentences:,} sentences, "
        f"of which {100 * measured.unknown / measured.words:.2f} % are unknown and left out"
    )
