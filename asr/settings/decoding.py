"""Settings of the decoders."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from asr.settings.checks import above, at_least, at_most, below, between, check_settings, require

FROM_BUNDLE = "bundle"
"""the value of a setting that is taken from the bundle; a file of this name is ./bundle"""

Settings = TypeVar("Settings")


@dataclass(kw_only=True)
class DecoderConfig:
    """How log-probabilities become text; one subclass per decoder."""


@dataclass(kw_only=True)
class GreedyConfig(DecoderConfig):
    """Greedy decoding: the most probable symbol of every step, with repeats and blanks removed."""


@dataclass(kw_only=True)
class BeamSettings(DecoderConfig):
    """The settings of a beam search; see `BeamConfig`."""

    beam_width: int = field(default=32, metadata=between(1, 65_536))
    """hypotheses that are kept at every step"""
    n_best: int = field(default=1, metadata=at_least(1, at_most=65_536))
    """texts returned per utterance, best first (in json and jsonl)"""
    min_symbol_log_prob: float | None = field(default=-5.0, metadata=below(0, at_least=-1000))
    """symbols with a lower log-probability at a step are not tried there; null tries all"""
    score_margin: float | None = field(default=10.0, metadata=above(0, at_most=1_000_000))
    """hypotheses with a score this much below the best are dropped; null drops none"""
    prior_weight: float = field(default=0.0, metadata=at_least(0, at_most=100))
    """exponent of the symbol priors that acoustic scores are divided by; 0 disables. It compensates the bias of the
    model towards frequent symbols, mainly the blank. The priors are part of the bundle (`asr tune`)"""
    lm: str | None = None
    """language model: a file from `asr lm`, or an ARPA file (.arpa, .gz, .xz)"""
    lm_weight: float = field(default=0.5, metadata=at_least(0, at_most=1000))
    """weight of the language model's log-probabilities"""
    word_bonus: float = field(default=1.0, metadata=between(-1000.0, 1000.0))
    """added to the score for every word (for every character, with a language model over characters)"""
    unknown_score: float = field(default=-6.0, metadata=at_most(0, at_least=-1000))
    """added to the log-probability of words that are in neither the language model nor decoder.lexicon"""
    pronunciations: str | None = None
    """pronunciation lexicon in CMUdict's format; the phone output of the model is decoded to its words"""
    g2p: str | None = None
    """model that predicts the phones of a word from its letters: for hot words and words of language models and lists
    that decoder.pronunciations lacks"""
    lexicon: str | None = None
    """file of words, one per line: added to those of the language model, or, with decoder.open_vocabulary=false, the
    only ones"""
    open_vocabulary: bool = True
    """whether words may be written that are neither in the language model nor in decoder.lexicon"""
    second_pass: str | None = None
    """neural language model that scores the likely texts of the search again (a file from `asr lm kind=lstm`)"""
    second_pass_weight: float = field(default=0.5, metadata=between(0.0, 1.0))
    """its share in the probability of each word; the rest is that of decoder.lm. 0 disables the second pass"""
    second_pass_histories: int = field(default=4, metadata=between(1, 65_536))
    """texts that the second pass follows to each point of the search"""
    second_pass_margin: float | None = field(default=6.0, metadata=above(0, at_most=1_000_000))
    """texts with a score this much below the best one of the search are not scored again; null scores all"""
    second_pass_score_margin: float | None = field(default=3.0, metadata=above(0, at_most=1_000_000))
    """texts whose beginning has a score this much below the best one in the second pass are dropped; null drops none"""
    hotwords: list[str] = field(default_factory=list)
    """words and phrases that are likely to occur, optionally with their own weight: [Kathleen,New York:8]. They are
    normalised as the training texts were; texts for people have them with the capitals that are typed here"""
    hotwords_file: str | None = None
    """file of such words and phrases, one per line"""
    hotword_weight: float = field(default=5.0, metadata=between(-1000.0, 1000.0))
    """added to the score for a word of decoder.hotwords without its own weight"""


@dataclass(kw_only=True)
class BeamConfig(BeamSettings):
    """Prefix beam search: the score of a text is the sum over all its alignments."""

    def __post_init__(self) -> None:
        check_settings(self, "decoder")
        require(
            self.n_best <= self.beam_width, "decoder.n_best", "at least 1 and at most decoder.beam_width", self.n_best
        )


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def taken_from_bundle(kind: type[Settings]) -> type[Settings]:
    """Make a dataclass of a class that inherits settings: each may also be `FROM_BUNDLE`, which is its default."""
    (base,) = kind.__bases__
    types = get_type_hints(base)
    for one in fields(base):
        declared: Any = types[one.name]
        if one.default_factory is list:
            continue
        setattr(kind, one.name, field(default=FROM_BUNDLE, metadata=one.metadata))
        # OmegaConf takes a whole number for a float only where a union says so.
        kind.__annotations__[one.name] = declared | str | int if declared in (float, float | None) else declared | str
    return dataclass(kw_only=True)(kind)


@taken_from_bundle
class AutoConfig(BeamSettings):
    """The decoder that the bundle recommends: a beam search with its language model, or greedy where it has none.

    The settings are those of `BeamConfig`. Each is "bundle" by default: as the bundle has it, or the default of
    `BeamConfig` where the bundle recommends none. Any other value replaces the bundle's, and makes the decoder a beam
    search in any case: `lm=None` is a beam search without a language model. An empty list of hot words counts as not
    given.
    """

    def __post_init__(self) -> None:
        check_settings(self, "decoder", declared=BeamSettings, unset=FROM_BUNDLE)
        self.resolve(None)  # which refuses settings that do not fit together

    def resolve(self, recommended: BeamConfig | None) -> BeamConfig | GreedyConfig:
        """The settings to decode with, given those of the bundle.

        Raises
        ------
        ConfigError
            If a setting is out of its bounds.
        """
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        given = {name: value for name, value in values.items() if value not in (FROM_BUNDLE, [])}
        if not given:
            return recommended or GreedyConfig()
        base = recommended or BeamConfig()
        if "beam_width" not in given:
            given["beam_width"] = max(base.beam_width, given.get("n_best", 1))
        if given.get("pronunciations") and not base.pronunciations:
            given.setdefault("prior_weight", 0.0)  # the bundle's priors are those of another output
        return replace(base, **given)


DECODERS: dict[str, type[DecoderConfig]] = {"auto": AutoConfig, "greedy": GreedyConfig, "beam": BeamConfig}
"""the settings of each option of the group `decoder`"""
