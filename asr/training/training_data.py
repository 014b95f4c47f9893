"""The examples of a training: features and labels of the training and the validation set."""

from __future__ import annotations

from dataclasses import dataclass, replace

from asr.acoustic.denominator import Denominator, symbol_ngrams
from asr.acoustic.outputs import CHARACTERS, CHARACTERS_MMI, PHONES
from asr.audio.augment import Augmenter
from asr.audio.features import Frames, LogMel
from asr.bundle import Bundle
from asr.corpus.manifest import Utterance
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.features import Normalization
from asr.text.alphabet import BLANK
from asr.training.devices import row_multiple
from asr.training.distributed import Ranks
from asr.training.examples import Examples, corpus_statistics
from asr.training.preflight import Corpus
from asr.training.teacher import Teacher, make_teacher

CTC = "CTC"
"""the name of the loss, in messages and pictures"""
# To overfit, an epoch holds each utterance this many times, so that validation does not take most of the time.
_OVERFIT_REPEATS = 10


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Both sets, and the features that they are made of."""

    train: Examples
    """augmented"""
    valid: Examples
    log_mel: LogMel


def make_training_data(
    settings: TrainConfig,
    corpus: Corpus,
    init: Bundle | None,
    teacher: Bundle | None = None,
    *,
    ranks: Ranks | None = None,
) -> TrainingData:
    """The examples of a corpus.

    Parameters
    ----------
    settings : TrainConfig
    corpus : Corpus
    init : Bundle or None
        Whose mel filters, mean and standard deviation are used, if a training begins from one.
    teacher : Bundle, optional
        Of `training.teacher`.
    ranks : Ranks, optional
        The processes of the training: the first alone reads recordings for the mean and standard deviation.

    Raises
    ------
    ConfigError
        If the teacher does not fit the model.
    AudioError
        If the mean and standard deviation of the corpus are needed, and a recording cannot be read.
    """

    def examples(
        utterances: list[Utterance],
        augmenter: Augmenter | None = None,
        teacher: Teacher | None = None,
        copies: int = 1,
    ) -> Examples:
        return Examples(
            utterances,
            corpus.alphabet,
            log_mel,
            settings.model,
            augmenter=augmenter,
            cache_dir=settings.data.cache_dir,
            seed=settings.training.seed,
            phone_labels=corpus.phone_labels(utterances),
            teacher=teacher,
            copies=copies,
            row_multiple=row_multiple(settings.training.precision),
        )

    if init:
        log_mel = replace(init.log_mel, settings=settings.features)
    else:
        log_mel = LogMel.from_librosa(settings.features)
        if settings.features.normalization in (Normalization.corpus, Normalization.running):
            mean, deviation = (ranks or Ranks()).from_first(lambda: _statistics(settings, corpus, log_mel))
            log_mel = replace(log_mel, mean=mean, deviation=deviation)
    augmenter = Augmenter(settings.augment, settings.features.sample_rate, corpus.noises, corpus.rooms)
    made = make_teacher(settings, corpus, teacher) if teacher else None
    return TrainingData(
        examples(corpus.train, augmenter, made, settings.training.copies), examples(corpus.valid), log_mel
    )


def _statistics(settings: TrainConfig, corpus: Corpus, log_mel: LogMel) -> tuple[Frames, Frames]:
    """Mean and standard deviation of every mel band of the training set."""
    # Without their labels, which may fit at a lower speed alone.
    sounds = Examples(
        [replace(one, text="") for one in corpus.train],
        corpus.alphabet,
        log_mel,
        settings.model,
        cache_dir=settings.data.cache_dir,
    )
    return corpus_statistics(sounds, seed=settings.training.seed)


def describe_loss(settings: TrainConfig) -> str:
    """The loss of training in a few words: "CTC", or "0.9 MMI + 0.1 CTC" with the outputs that have no other."""
    loss, share = _describe_loss_of_labels(settings), settings.training.teacher_weight
    loss = f"{share:.3g} teacher + {1 - share:.3g} ({loss})" if settings.training.teacher else loss
    weight = settings.training.consistency_weight
    return f"{loss} + {weight:.3g} consistency" if weight else loss


def _describe_loss_of_labels(settings: TrainConfig) -> str:
    weight, model = settings.mmi_weight, settings.model
    if not weight:
        return CTC
    share = f"{weight:.3g} MMI + {1 - weight:.3g} {CTC}"
    # As in `make_denominators`.
    names = ["second output"] * model.mmi_output + ["phones"] * model.phone_output
    return f"{share} ({', '.join(names)}), {CTC} (characters)" if names else share


def make_denominators(settings: TrainConfig, corpus: Corpus, examples: Examples) -> dict[str, Denominator]:
    """The denominators of MMI, by the name of each output that is trained by it; empty without MMI.

    A denominator is the probability of all sequences, by an n-gram of the labels of the training set.
    """
    if not settings.mmi_weight:
        return {}
    order, found = settings.training.mmi_order, {}
    if settings.model.mmi_output or not corpus.phones:
        start = corpus.alphabet.separator_number or BLANK + 1
        labels = (examples.own_label(index) for index in range(len(examples.utterances)))
        ngrams = symbol_ngrams(labels, symbols=corpus.alphabet.size, start=start, order=order)
        name = CHARACTERS_MMI if settings.model.mmi_output else CHARACTERS
        found[name] = Denominator(ngrams, start=start)
    if corpus.phones and examples.phone_labels:
        # A phone that only occurs within words is the context before the first symbol: it marks the beginning alone.
        start = corpus.phones.size - 1
        ngrams = symbol_ngrams(examples.phone_labels, symbols=corpus.phones.size, start=start, order=order)
        found[PHONES] = Denominator(ngrams, start=start)
    return found


def choose_overfit(settings: TrainConfig, corpus: Corpus) -> tuple[TrainConfig, Corpus]:
    """Settings and corpus for `training.overfit`: a few utterances of medium length, neither augmented nor varied.

    They are both trained and validated on.
    """
    count = settings.training.overfit
    ordered = sorted(corpus.train, key=lambda one: one.duration or 0)
    start = max(0, (len(ordered) - count) // 2)
    chosen = ordered[start : start + count]
    settings = replace(
        settings,
        augment=AugmentConfig(speeds=[1.0], mask_probability=0.0),
        features=replace(settings.features, dither=0.0),
        model=replace(settings.model, dropout=0.0),
        training=replace(settings.training, batch_size=len(chosen), batch_seconds=1e6),
    )
    return settings, replace(corpus, train=chosen * _OVERFIT_REPEATS, valid=chosen)
