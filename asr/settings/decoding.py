"""Settings of the decoders."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from asr.settings.checks import above, at_least, at_most, below, between, check_settings, require


@dataclass(kw_only=True)
class DecoderConfig:
    """How log-probabilities become text; one subclass a decoder."""


@dataclass(kw_only=True)
class GreedyConfig(DecoderConfig):
    """The best symbol of every step, repeats and blanks removed: fast, and the usual baseline."""


@dataclass(kw_only=True)
class BeamConfig(DecoderConfig):
    """Prefix beam search: adds up all alignments of a text, so that it finds the likelier text."""

    beam_width: int = field(default=32, metadata=between(1, 65_536))
    """prefixes kept at every step"""
    n_best: int = field(default=1, metadata=at_least(1, at_most=65_536))
    """texts returned for an utterance, best first (in json and jsonl)"""
    min_symbol_log_prob: float | None = field(default=-5.0, metadata=below(0, at_least=-1000))
    """symbols whose log-probability is below this at a step are not tried there; null tries all"""
    score_margin: float | None = field(default=10.0, metadata=above(0, at_most=1_000_000))
    """prefixes whose score is this far behind the best are dropped; null keeps as many as fit"""
    prior_weight: float = field(default=0.0, metadata=at_least(0, at_most=100))
    """divide what the model hears by how often it says each symbol at all, to this power: a model that is not sure says
    what is frequent, blanks above all. The bundle says how often that is (`asr tune`)"""
    lm: str | None = None
    """language model: the file of `asr lm`, or an ARPA file (.arpa, .gz, .xz)"""
    lm_weight: float = field(default=0.5, metadata=at_least(0, at_most=1000))
    """weight of the language model's log-probabilities"""
    word_bonus: float = field(default=1.0, metadata=between(-1000.0, 1000.0))
    """added to the score for every word (for every character with a language model over characters)"""
    unknown_score: float = field(default=-6.0, metadata=at_most(0, at_least=-1000))
    """added to the log-probability of words that the language model or decoder.lexicon lacks"""
    pronunciations: str | None = None
    """pronunciation lexicon in CMUdict's format: decode the model's output over phones into its words"""
    lexicon: str | None = None
    """file of words to know, one a line: besides those of the language model, or, with decoder.open_vocabulary=false,
    the only ones"""
    open_vocabulary: bool = True
    """whether words may be written that neither the language model nor decoder.lexicon knows"""
    hotwords: list[str] = field(default_factory=list)
    """words and phrases to expect, with weights of their own if wanted: [Kathleen,New York:8]. They are brought to
    the model's spelling"""
    hotwords_file: str | None = None
    """file of such words and phrases, one a line"""
    hotword_weight: float = field(default=5.0, metadata=between(-1000.0, 1000.0))
    """added to the score for a word of decoder.hotwords that names no weight"""

    def __post_init__(self) -> None:
        check_settings(self, "decoder")
        require(
            self.n_best <= self.beam_width, "decoder.n_best", "at least 1 and at most decoder.beam_width", self.n_best
        )


@dataclass(kw_only=True)
class AutoConfig(DecoderConfig):
    """The decoder that the bundle recommends: a beam search with its language model, or greedy where it has none.

    Whatever is given here takes the place of the bundle's setting, and makes it a beam search in any case. The settings
    are those of `BeamConfig`; null is the bundle's, or the default of `BeamConfig` where the bundle recommends none.
    """

    beam_width: int | None = None
    n_best: int | None = None
    min_symbol_log_prob: float | None = None
    """symbols whose log-probability is below this at a step are not tried there"""
    score_margin: float | None = None
    """prefixes whose score is this far behind the best are dropped"""
    prior_weight: float | None = None
    lm: str | None = None
    lm_weight: float | None = None
    word_bonus: float | None = None
    unknown_score: float | None = None
    pronunciations: str | None = None
    lexicon: str | None = None
    open_vocabulary: bool | None = None
    hotwords: list[str] = field(default_factory=list)
    hotwords_file: str | None = None
    hotword_weight: float | None = None

    def __post_init__(self) -> None:
        check_settings(self, "decoder", declared=BeamConfig)
        self.resolve(None)  # which refuses settings that do not fit together

    def resolve(self, recommended: BeamConfig | None) -> BeamConfig | GreedyConfig:
        """The settings to decode with, given those of the bundle.

        Raises
        ------
        ConfigError
            If a setting is out of its bounds.
        """
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        given = {name: value for name, value in values.items() if value not in (None, [])}
        if not given:
            return recommended or GreedyConfig()
        base = recommended or BeamConfig()
        if self.n_best and self.beam_width is None:
            given["beam_width"] = max(base.beam_width, self.n_best)
        if self.pronunciations and not base.pronunciations:
            given.setdefault("prior_weight", 0.0)  # the bundle's priors are those of another output
        return replace(base, **given)
