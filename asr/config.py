"""Every setting of the project, with its default and its bounds; nothing here knows Hydra.

Settings are plain dataclasses, complete without arguments and checked when made: `ModelConfig(depth=0)` raises
`ConfigError`. They are treated as values. The docstring under a field is what `--help` shows a user.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum

from asr.bounds import above, at_least, at_most, below, between, check_settings, shown
from asr.errors import ConfigError

# Of the second output where a model has one: a little of CTC keeps the blank where it is.
_MMI_WEIGHT = 0.9
# NumPy's and Keras's seeds have 32 bits.
_LARGEST_SEED = 2**32 - 1


class ConfigEnum(Enum):
    """An enumeration whose members are written in lower case, as a user types them."""

    def __str__(self) -> str:
        return str(self.value)


class Normalization(ConfigEnum):
    """How log-mel frames are shifted and scaled before the network sees them."""

    none = "none"
    utterance = "utterance"
    corpus = "corpus"


class UnicodeForm(ConfigEnum):
    """Unicode normalisation form of labels and scored text."""

    NFC = "NFC"
    NFKC = "NFKC"


class FrontEnd(ConfigEnum):
    """How frames are subsampled to steps."""

    conv = "conv"
    stack = "stack"


class Cell(ConfigEnum):
    """The recurrent cell."""

    lstm = "lstm"
    gru = "gru"


class Precision(ConfigEnum):
    """The type of the large products in training."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Schedule(ConfigEnum):
    """How the learning rate goes after the warm-up."""

    cosine = "cosine"
    one_cycle = "one_cycle"
    plateau = "plateau"
    constant = "constant"


class LanguageUnit(ConfigEnum):
    """What a language model counts."""

    words = "words"
    characters = "characters"


class TranscriptFormat(ConfigEnum):
    """How a transcript is written."""

    txt = "txt"
    json = "json"
    jsonl = "jsonl"
    srt = "srt"
    vtt = "vtt"
    tsv = "tsv"
    ctm = "ctm"
    stm = "stm"
    textgrid = "textgrid"


class EngineKind(ConfigEnum):
    """What runs the acoustic model."""

    onnx = "onnx"
    onnx_float32 = "onnx_float32"
    keras = "keras"


class LogStyle(ConfigEnum):
    """How messages are written on stderr."""

    text = "text"
    json = "json"


def _require(condition: bool, name: str, wanted: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{name} must be {wanted}, not {shown(value)}")


@dataclass(kw_only=True)
class FeatureConfig:
    """Log-mel features: the same settings make the features of training and of transcription."""

    sample_rate: int = field(default=16000, metadata=between(1000, 192_000, unit="Hz"))
    """Hz; recordings of any other rate are resampled to it"""
    window_seconds: float = field(default=0.025, metadata=between(0.001, 1.0))
    """length of the analysis window"""
    hop_seconds: float = field(default=0.010, metadata=between(0.001, 1.0))
    """distance between two frames"""
    mels: int = field(default=80, metadata=at_least(1, at_most=1024))
    """mel bands"""
    fmin: float = field(default=20.0, metadata=at_least(0, at_most=96_000))
    """Hz, lower edge of the lowest band"""
    fmax: float = field(default=7600.0, metadata=above(0, at_most=96_000))
    """Hz, upper edge of the highest band; at most half the sample rate"""
    log_floor: float = field(default=1e-8, metadata=between(1e-30, 1.0))
    """smallest mel power that is told from silence; the logarithm is taken of max(power, log_floor)"""
    dither: float = field(default=0.0, metadata=between(0.0, 1.0))
    """standard deviation of white noise added to the samples in training (full scale is 1); 0 is none"""
    normalization: Normalization = Normalization.utterance
    """none, utterance (each band to mean 0 and deviation 1 over the utterance), or corpus (by statistics of the
    training set, kept in the bundle)"""

    def __post_init__(self) -> None:
        check_settings(self, "features")
        _require(
            self.window_seconds >= self.hop_seconds,
            "features.window_seconds",
            "at least features.hop_seconds",
            self.window_seconds,
        )
        _require(
            0 <= self.fmin < self.fmax <= self.sample_rate / 2,
            "features.fmin and features.fmax",
            f"0 <= fmin < fmax <= {self.sample_rate / 2:g} Hz (half the sample rate)",
            (self.fmin, self.fmax),
        )

    @property
    def hop_samples(self) -> int:
        """Samples between two frames."""
        return round(self.hop_seconds * self.sample_rate)

    @property
    def window_samples(self) -> int:
        """Samples under the analysis window."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def fft_size(self) -> int:
        """The power of two that the window is padded to."""
        return 1 << (self.window_samples - 1).bit_length()


@dataclass(kw_only=True)
class NormalizerConfig:
    """How text is brought to one spelling, for labels and for scoring. Invisible characters are removed in any case."""

    unicode_form: UnicodeForm = UnicodeForm.NFKC
    """Unicode normalisation form"""
    lowercase: bool = True
    """fold case"""
    strip_punctuation: bool = True
    """turn every punctuation mark and symbol that is not in `keep` into a space"""
    keep: str = "'"
    """punctuation marks and invisible characters that are letters of the language; all apostrophes count as '"""

    def __post_init__(self) -> None:
        check_settings(self, "normalizer")


@dataclass(kw_only=True)
class AlphabetConfig:
    """The symbols a model can write. The blank of CTC is not among them: it is always number 0."""

    symbols: str = " 'abcdefghijklmnopqrstuvwxyz"
    """the characters, in the order of their numbers from 1 on"""
    from_data: bool = False
    """collect the characters of the (normalised) training texts instead of using `symbols`"""

    def __post_init__(self) -> None:
        check_settings(self, "alphabet")


@dataclass(kw_only=True)
class ModelConfig:
    """The acoustic model: a subsampling front end, a stack of recurrent layers, a linear layer to symbols."""

    front_end: FrontEnd = FrontEnd.conv
    """conv (strided two-dimensional convolutions) or stack (neighbouring frames concatenated)"""
    subsampling: int = field(default=4, metadata=at_least(1, at_most=64))
    """frames a step; a power of two with the conv front end"""
    channels: int = field(default=32, metadata=at_least(1, at_most=4096))
    """channels of each convolution"""
    kernel: int = field(default=3, metadata=at_least(1, at_most=63))
    """width of each convolution in frames and in mel bands, odd"""
    cell: Cell = Cell.lstm
    """lstm or gru"""
    bidirectional: bool = True
    """false gives a causal model: no step sees a later frame"""
    depth: int = field(default=3, metadata=at_least(1, at_most=100))
    """recurrent layers"""
    units: int = field(default=256, metadata=at_least(1, at_most=16_384))
    """units of each recurrent layer and direction"""
    projection: int = field(default=256, metadata=at_least(0, at_most=16_384))
    """width that the front end and every recurrent layer are projected to; 0 for none"""
    layer_normalization: bool = True
    """normalise the output of the front end and of every recurrent layer"""
    dropout: float = field(default=0.1, metadata=between(0.0, 1.0, high_open=True))
    """share of the output of every recurrent layer that is dropped in training"""
    mmi_output: bool = False
    """a second output layer, for decoding with a language model, which training.mmi_weight is about; the first is for
    all else, such as greedy decoding"""
    phone_output: bool = False
    """an output layer over phones, for decoding with a pronunciation lexicon and a language model; training it needs
    data.lexicon"""

    def __post_init__(self) -> None:
        check_settings(self, "model")
        _require(self.kernel % 2 == 1, "model.kernel", "odd", self.kernel)
        if self.front_end is FrontEnd.conv:
            _require(
                self.subsampling & (self.subsampling - 1) == 0,
                "model.subsampling",
                "a power of two with model.front_end=conv",
                self.subsampling,
            )

    @property
    def outputs(self) -> int:
        """Output layers over characters."""
        return 2 if self.mmi_output else 1

    @property
    def directions(self) -> int:
        """2 for a bidirectional model, 1 for a causal one."""
        return 2 if self.bidirectional else 1

    @property
    def convolutions(self) -> int:
        """Strided convolutions of the conv front end, each halving the time axis."""
        return self.subsampling.bit_length() - 1


@dataclass(kw_only=True)
class DataConfig:
    """What to train on and what to validate on."""

    train: list[str] = field(default_factory=list)
    """manifests to train on; a relative path is taken from the working directory"""
    valid: list[str] = field(default_factory=list)
    """manifests whose error rates choose the best epoch; never trained on"""
    hold_out: float = field(default=0.0, metadata=between(0.0, 1.0, high_open=True))
    """share of the utterances of data.train to validate on instead, where data.valid names none: whole speakers where
    the manifests tell them apart, the same ones every time"""
    quarantine: list[str] = field(default_factory=list)
    """lists of utterances to leave out and to count, as `asr doctor` writes them"""
    max_faulty: float = field(default=0.0, metadata=between(0.0, 1.0, high_open=True))
    """share of the utterances that may be unusable: they are left out and counted; above it nothing is trained"""
    min_seconds: float = field(default=0.1, metadata=at_least(0, at_most=86_400))
    """utterances shorter than this are left out of training, and counted"""
    max_seconds: float = field(default=20.0, metadata=above(0, at_most=86_400))
    """utterances longer than this are left out of training, and counted"""
    lexicon: str | None = None
    """pronunciations of all words of the texts, for model.phone_output: a file in CMUdict's format"""
    cache_dir: str | None = None
    """folder in which the features of clean speech are kept between epochs and runs (about 30 MB an hour of speech
    and speed); null computes them anew each time"""

    def __post_init__(self) -> None:
        check_settings(self, "data")
        if self.hold_out and self.valid:
            raise ConfigError(
                "data.hold_out and data.valid both say what to validate on: set data.hold_out=0 or data.valid=[]"
            )
        _require(self.max_seconds > self.min_seconds, "data.max_seconds", "above data.min_seconds", self.max_seconds)


@dataclass(kw_only=True)
class AugmentConfig:
    """How training utterances are varied, anew in every epoch: speed, room, noise, telephone, level, company, masks."""

    speeds: list[float] = field(default_factory=lambda: [0.9, 1.0, 1.1], metadata=between(0.25, 4.0))
    """speeds to resample by, one drawn for each utterance and epoch; [1.0] for none"""
    speed_probability: float = field(default=1.0, metadata=between(0.0, 1.0))
    """share of utterances whose speed is drawn; the others keep theirs"""
    reverb_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances that are moved into a room"""
    reverb_manifests: list[str] = field(default_factory=list)
    """manifests of recorded room impulse responses; none has rooms simulated"""
    reverb_seconds: list[float] = field(default_factory=lambda: [0.15, 0.7], metadata=above(0, at_most=60))
    """shortest and longest reverberation time (60 dB) of simulated rooms"""
    noise_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances that noise is added to"""
    noise_manifests: list[str] = field(default_factory=list)
    """manifests of recorded noise (minutes rather than hours a file); none has noise made, from white to brown"""
    noise_snr_db: list[float] = field(default_factory=lambda: [5.0, 25.0], metadata=between(-100.0, 100.0))
    """lowest and highest ratio of speech to noise, in dB"""
    telephone_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances that are sent through a telephone: 300 to 3400 Hz, 8 kHz, 8-bit mu-law"""
    gain_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances whose level is changed; has no effect with features.normalization=utterance"""
    gain_db: list[float] = field(default_factory=lambda: [-12.0, 6.0], metadata=between(-100.0, 100.0))
    """lowest and highest change of level, in dB"""
    join_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances that another one, of any speaker and at a level of its own, follows in the same example: a
    model that has only ever heard one voice at a time loses its way where voices change"""
    join_seconds: float = field(default=20.0, metadata=at_least(0, at_most=86_400))
    """longest two joined utterances"""
    mask_probability: float = field(default=1.0, metadata=between(0.0, 1.0))
    """share of utterances that SpecAugment masks"""
    frequency_masks: int = field(default=2, metadata=at_least(0, at_most=1000))
    """SpecAugment: bands of neighbouring mels to blank out"""
    frequency_mask_mels: int = field(default=20, metadata=at_least(0, at_most=1024))
    """SpecAugment: widest band, in mels"""
    time_masks: int = field(default=2, metadata=at_least(0, at_most=1000))
    """SpecAugment: spans of neighbouring frames to blank out"""
    time_mask_frames: int = field(default=40, metadata=at_least(0, at_most=1_000_000))
    """SpecAugment: longest span, in frames"""
    time_mask_share: float = field(default=0.15, metadata=between(0.0, 1.0))
    """SpecAugment: longest span as a share of the utterance; the shorter of the two bounds holds"""

    def __post_init__(self) -> None:
        check_settings(self, "augment")
        _require(bool(self.speeds), "augment.speeds", "a list of at least one speed", self.speeds)
        for name in ("reverb_seconds", "noise_snr_db", "gain_db"):
            pair = getattr(self, name)
            ordered = len(pair) == 2 and pair[0] <= pair[1]
            _require(ordered, f"augment.{name}", "two numbers, the lower one first", pair)


@dataclass(kw_only=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a schedule."""

    learning_rate: float = field(default=1e-3, metadata=above(0, at_most=100))
    """the highest rate, reached after the warm-up"""
    schedule: Schedule = Schedule.cosine
    """cosine (half a cosine down to final_share), one_cycle (three tenths of the training up, the rest down; no other
    warm-up), plateau (falls when validation CER no longer does) or constant"""
    warmup_steps: int = field(default=500, metadata=at_least(0, at_most=1_000_000_000))
    """steps over which the rate rises from 0; at most a tenth of the training is used"""
    final_share: float = field(default=0.01, metadata=between(0.0, 1.0))
    """the last rate, as a share of the highest; the plateau schedule goes no lower either"""
    plateau_epochs: int = field(default=2, metadata=at_least(1, at_most=1_000_000))
    """plateau schedule: validations without a better CER after which the rate falls"""
    plateau_factor: float = field(default=0.5, metadata=between(0.0, 1.0, low_open=True, high_open=True))
    """plateau schedule: what the rate is multiplied by when it falls"""
    weight_decay: float = field(default=0.01, metadata=at_least(0, at_most=100))
    """decoupled weight decay, on matrices only"""
    clip_norm: float = field(default=1.0, metadata=above(0, at_most=1_000_000_000))
    """the gradient's norm is clipped to this"""

    def __post_init__(self) -> None:
        check_settings(self, "optimizer")


@dataclass(kw_only=True)
class TrainingConfig:
    """How long and in what portions to train."""

    epochs: int = field(default=30, metadata=at_least(1, at_most=1_000_000))
    """passes over the training data"""
    batch_size: int = field(default=32, metadata=at_least(1, at_most=65_536))
    """most utterances in a batch"""
    batch_seconds: float = field(default=160.0, metadata=above(0, at_most=1_000_000))
    """most audio in a batch, padding included"""
    buckets: int = field(default=10, metadata=at_least(1, at_most=1000))
    """shapes of batches, at most: more mean less padding, and more shapes to compile for"""
    accumulate: int = field(default=1, metadata=at_least(1, at_most=10_000))
    """batches that make one step of the optimizer together: a large batch in the memory of a small one"""
    sorted_first_epoch: bool = True
    """take the first epoch from the shortest utterance to the longest, which shortens the all-blank plateau of CTC"""
    average_epochs: float = field(default=0.0, metadata=at_least(0, at_most=1_000_000))
    """validate and save the exponential moving average of the weights over about so many epochs, which errs less than
    the weights of any one step; 0 takes the weights as they are"""
    valid_every: int = field(default=1, metadata=at_least(1, at_most=1_000_000))
    """epochs from one validation to the next; the last epoch is always validated"""
    patience: int = field(default=10, metadata=at_least(0, at_most=1_000_000))
    """stop after this many epochs without a better validation CER; 0 never stops early"""
    seed: int = field(default=1, metadata=between(0, _LARGEST_SEED))
    """seeds weights, order and augmentation"""
    workers: int = field(default=1, metadata=at_least(0, at_most=1024))
    """processes that prepare batches; 0 prepares them in between, in the training process"""
    checkpoint_minutes: float = field(default=10.0, metadata=at_least(0, at_most=1_000_000))
    """a checkpoint is written at the end of every epoch and whenever this much time has passed; 0 after every batch"""
    precision: Precision = Precision.float32
    """type of the large products: bfloat16 is faster on a processor or GPU that has it, float16 on an older GPU;
    weights, states of the recurrence, and the CTC loss stay float32"""
    devices: int = field(default=1, metadata=at_least(1, at_most=1024))
    """devices of this machine that share every batch (TensorFlow and JAX)"""
    jit_compile: bool = False
    """compile the whole training step with XLA (TensorFlow; JAX always does), not just the recurrence"""
    mmi_weight: float | None = field(default=None, metadata=between(0.0, 1.0))
    """share of lattice-free MMI in what is minimised: it wants the transcript to stand out among all other texts, where
    CTC, the rest, wants it likely. For the last epochs of a model that decodes with a language model: greedy decoding
    loses by it, unless that has an output of its own (model.mmi_output). null: 0.9 with such an output, 0 without"""
    mmi_order: int = field(default=4, metadata=between(3, 5))
    """letters in a row that say how likely another text is, from 3 to 5"""
    skip_batches: int = field(default=5, metadata=at_least(0, at_most=1_000_000))
    """batches without a finite loss and gradient that are passed over, with a message, before training stops"""
    overfit: int = field(default=0, metadata=at_least(0, at_most=1_000_000))
    """learn this many utterances by heart and say whether it worked, to prove the wiring; 0 trains as usual"""

    def __post_init__(self) -> None:
        check_settings(self, "training")


@dataclass(kw_only=True)
class TrackingConfig:
    """Where a run can be watched."""

    tensorboard: bool = True
    """write curves, decoded examples and pictures of features to the run's folder, for `tensorboard --logdir runs`"""
    mlflow: str | None = None
    """also send them to this MLflow server or database (http://..., sqlite:///mlflow.db); needs `pip install mlflow`"""
    mlflow_experiment: str = "asr"
    """name of the experiment there"""
    examples: int = field(default=4, metadata=at_least(0, at_most=10_000))
    """validation utterances whose texts are shown after every epoch"""

    def __post_init__(self) -> None:
        check_settings(self, "tracking")


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
        _require(
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


@dataclass(kw_only=True)
class TrainConfig:
    """`asr train`."""

    data: DataConfig = field(default_factory=DataConfig)
    alphabet: AlphabetConfig = field(default_factory=AlphabetConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    init: str | None = None
    """start from this bundle instead of fresh weights: the name of one that ships, or its path. Its features, model,
    normaliser and alphabet are taken where none are given here; of another alphabet, the new symbols alone are learnt
    from nothing"""
    frozen_layers: int = field(default=0, metadata=at_least(0, at_most=101))
    """with init: layers that keep their weights, from below: 1 is the front end, 2 the first recurrent layer too"""
    run_dir: str | None = None
    """folder of the run; null makes runs/<date>-<time>. A run that was interrupted goes on when its folder is given"""
    log: LogStyle = LogStyle.text
    """messages on stderr as text or as json lines"""

    def __post_init__(self) -> None:
        check_settings(self)
        most = self.model.depth + 1
        _require(0 <= self.frozen_layers <= most, "frozen_layers", f"between 0 and {most}", self.frozen_layers)
        if self.frozen_layers and not self.init:
            raise ConfigError("frozen_layers without init would keep weights that know nothing: give init=BUNDLE")
        if self.model.phone_output and not self.data.lexicon:
            raise ConfigError(
                "model.phone_output=true needs the pronunciations of the words: data.lexicon=FILE "
                "(scripts/make_lexicon.py makes one)"
            )

    @property
    def mmi_weight(self) -> float:
        """`training.mmi_weight`, or what null means."""
        if self.training.mmi_weight is not None:
            return self.training.mmi_weight
        return _MMI_WEIGHT if self.model.mmi_output or self.model.phone_output else 0.0


@dataclass(kw_only=True)
class DoctorConfig(TrainConfig):
    """`asr doctor`: what a training takes, so that it can be asked about the very data that one is to see."""

    output_dir: str | None = None
    """folder for report.html, report.json and quarantine.jsonl; null writes the table to stdout only"""
    show_augmented: str | None = None
    """folder for a few augmented utterances: sound, and pictures of the features"""
    overwrite: bool = False
    """replace files in these folders that were not written by this command, or changed since"""
    show_count: int = field(default=5, metadata=at_least(1, at_most=100_000))
    """utterances to show there"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""


def _check_channel(channel: str) -> None:
    ok = channel == "mix" or (channel.isdecimal() and int(channel) >= 1)
    _require(ok, "channel", "mix or the number of a channel, from 1", channel)


_TRACK = at_least(1, at_most=1000)
# A year of audio. A day: timers of the operating system count no more seconds than 32 bits hold.
_HOURS = between(0.0, 8784.0, low_open=True)
_TIMEOUT = between(0.0, 86_400.0, low_open=True, unit="seconds (a day)")


def check_limits(max_hours: float, timeout: float) -> None:
    """Refuse limits of a recording's length and of a decoder's silence that are none."""
    TranscribeConfig(max_hours=max_hours, timeout=timeout)


@dataclass(kw_only=True)
class TranscribeConfig:
    """`asr transcribe`."""

    bundle: str = "en"
    """the model: the name of a bundle that ships, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    decoder: DecoderConfig = field(default_factory=AutoConfig)
    format: TranscriptFormat = TranscriptFormat.txt
    """txt (the text), json (one document) or jsonl (one line a recording) with times and scores, srt or vtt
    (subtitles), tsv (a table of them), ctm or stm (for scoring programs), textgrid (for Praat)"""
    output_dir: str | None = None
    """write one file a recording here instead of writing to stdout; what is finished there is skipped"""
    beside: bool = False
    """write one file beside each recording instead"""
    overwrite: bool = False
    """transcribe again what is finished, and replace files that were not written by this command, or changed since"""
    files_from: str | None = None
    """a file that lists recordings, one a line; - for standard input"""
    shard: str | None = None
    """3/20 for the third of twenty parts of the job, each for a process or machine of its own"""
    mark_below: float | None = field(default=None, metadata=between(0.0, 1.0))
    """mark words whose confidence is lower as [word?]; a share, such as 0.5"""
    channel: str = "mix"
    """mix (the mean of all channels) or the number of one channel, from 1"""
    track: int | None = field(default=None, metadata=_TRACK)
    """the number of an audio track, from 1, where recordings have several; the one marked as default by default"""
    engine: EngineKind = EngineKind.onnx
    """onnx (weights of 7 bits), onnx_float32 (two to three times slower) or keras (slower still)"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""
    max_hours: float = field(default=24.0, metadata=_HOURS)
    """a longer recording is an error"""
    timeout: float = field(default=60.0, metadata=_TIMEOUT)
    """seconds after which a recording whose decoder does not move on is given up"""
    log: LogStyle = LogStyle.text
    """messages on stderr as text or as json lines"""

    def __post_init__(self) -> None:
        check_settings(self)
        _check_channel(self.channel)
        if self.shard is not None:
            part, slash, parts = self.shard.partition("/")
            ok = bool(slash) and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)
            _require(ok, "shard", "part/parts, such as 3/20", self.shard)
        if self.beside and self.output_dir is not None:
            raise ConfigError("output_dir and beside are two places for the same files: name one")


@dataclass(kw_only=True)
class AlignConfig:
    """`asr align`."""

    bundle: str = "en"
    """the model: the name of a bundle that ships, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    format: TranscriptFormat = TranscriptFormat.json
    """txt, json (one document), jsonl, srt, vtt, tsv, ctm, stm or textgrid, as in `asr transcribe`; a word's score
    takes the place of its confidence"""
    output_dir: str | None = None
    """write one file a recording here instead of writing to stdout"""
    cut_dir: str | None = None
    """cut the recordings in pauses into utterances to train on, and write them and their manifest here"""
    overwrite: bool = False
    """replace files in these folders that were not written by this command, or changed since"""
    cut_seconds: float = field(default=15.0, metadata=between(1.0, 3600.0))
    """length of the longest of them"""
    min_score: float = field(default=0.0, metadata=between(0.0, 1.0))
    """utterances whose words have a lower score on average are left out, and counted"""
    channel: str = "mix"
    """mix (the mean of all channels) or the number of one channel, from 1"""
    track: int | None = field(default=None, metadata=_TRACK)
    """the number of an audio track, from 1, where recordings have several; the one marked as default by default"""
    engine: EngineKind = EngineKind.onnx
    """onnx (weights of 7 bits), onnx_float32 (two to three times slower) or keras (slower still)"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""
    max_hours: float = field(default=24.0, metadata=_HOURS)
    """a longer recording is an error"""
    timeout: float = field(default=60.0, metadata=_TIMEOUT)
    """seconds after which a recording whose decoder does not move on is given up"""
    log: LogStyle = LogStyle.text
    """messages on stderr as text or as json lines"""

    def __post_init__(self) -> None:
        check_settings(self)
        _check_channel(self.channel)


@dataclass(kw_only=True)
class EvaluateConfig:
    """`asr evaluate`."""

    bundle: str = "en"
    """the model: the name of a bundle that ships, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    hypotheses: str | None = None
    """score the texts of this file instead of running a model: JSON lines with `id` or `audio_filepath`, and `text`;
    .ctm or .trn, also where the references are .stm; or .txt where the references are .txt too"""
    against: list[str] = field(default_factory=list)
    """other systems to compare with on the same recordings: files of hypotheses, bundles, or greedy (the same bundle
    without a beam search), as in against=[greedy,other.ctm]"""
    decoder: DecoderConfig = field(default_factory=AutoConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    english: bool = False
    """also make contractions, numbers, fillers and British spellings alike, as OpenAI's Whisper is scored"""
    scoring_rules: str | None = None
    """file of `regular expression => replacement`, one a line, for references and hypotheses"""
    synonyms: str | None = None
    """file of words that count as equal, parted by commas, one group a line: ok, okay, o k"""
    slice_by: list[str] = field(default_factory=list)
    """fields of the manifests to slice by, besides those of few values, which are found"""
    vocabulary: str | None = None
    """language model or word list that tells known words from others; that of the decoder by default"""
    output_dir: str | None = None
    """folder for report.html, report.json, report.txt, summary.md (for a pull request), utterances.csv, slices.csv and
    confusions.csv; null writes the totals to stdout only"""
    overwrite: bool = False
    """replace files in it that were not written by this command, or changed since"""
    page_audio: bool = True
    """have report.html play the recordings and show their spectrograms"""
    embed_megabytes: float = field(default=16.0, metadata=at_least(0, at_most=10_000))
    """recordings and pictures up to this size go into report.html itself, more into a folder beside it"""
    baseline: str | None = None
    """report.json of an earlier evaluation of the same utterances, to compare with"""
    max_regression: float = field(default=0.0, metadata=at_least(0, at_most=1000))
    """points of WER that may be lost against the baseline: exit code 3 if significantly more are (p < 0.05)"""
    worst: int = field(default=5, metadata=at_least(0, at_most=1_000_000))
    """utterances with the most errors to show"""
    channel: str = "mix"
    """mix (the mean of all channels) or the number of one channel, from 1"""
    track: int | None = field(default=None, metadata=_TRACK)
    """the number of an audio track, from 1, where recordings have several; the one marked as default by default"""
    engine: EngineKind = EngineKind.onnx
    """onnx (weights of 7 bits), onnx_float32 (two to three times slower) or keras (slower still)"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""
    log: LogStyle = LogStyle.text
    """messages on stderr as text or as json lines"""

    def __post_init__(self) -> None:
        check_settings(self)
        _check_channel(self.channel)


@dataclass(kw_only=True)
class LmConfig:
    """`asr lm`."""

    order: int = field(default=3, metadata=at_least(1, at_most=10))
    """words of the longest n-gram"""
    unit: LanguageUnit = LanguageUnit.words
    """words, or characters: for languages written without spaces, and for models that write none"""
    vocabulary: int = field(default=60000, metadata=at_least(1, at_most=100_000_000))
    """the most frequent words are kept, up to this many; the others count as unknown"""
    min_count: int | None = field(default=None, metadata=at_least(1, at_most=1_000_000_000))
    """words seen less often than this count as unknown; null is 2, and 1 for texts of fewer than 10,000 words, where
    every word matters"""
    max_ngrams: int | None = field(default=None, metadata=at_least(0, at_most=10_000_000_000))
    """n-grams of two words and more that are kept: those that matter most; null keeps all"""
    threshold: float = field(default=0.0, metadata=at_least(0, at_most=1000))
    """n-grams that change the model by less than this (relative entropy) are dropped; 1e-9 drops few, 1e-7 many"""
    quantized: bool = True
    """keep log-probabilities as one byte each: a third of the size, at next to no cost"""
    valid: list[str] = field(default_factory=list)
    """texts or manifests that are not trained on, to measure the perplexity on"""
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    output: str | None = None
    """file to write, as .lm or as .arpa (.arpa.gz, .arpa.xz); null names it after the first text"""
    overwrite: bool = False
    """replace a file of that name that is no language model of `asr lm`"""
    log: LogStyle = LogStyle.text
    """messages on stderr as text or as json lines"""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(kw_only=True)
class TuneConfig:
    """`asr tune`."""

    bundle: str = "en"
    """the model: the name of a bundle that ships, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    decoder: DecoderConfig = field(default_factory=AutoConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    trials: int = field(default=60, metadata=at_least(1, at_most=1_000_000))
    """combinations of lm_weight, word_bonus, unknown_score and prior_weight to try"""
    beam_widths: list[int] = field(default_factory=lambda: [8, 16, 32, 64, 128], metadata=between(1, 65_536))
    """beam widths to try with the best of them; the narrowest that costs next to nothing is recommended"""
    seed: int = field(default=1, metadata=between(0, _LARGEST_SEED))
    """of the search"""
    channel: str = "mix"
    """mix (the mean of all channels) or the number of one channel, from 1"""
    track: int | None = field(default=None, metadata=_TRACK)
    """the number of an audio track, from 1, where recordings have several; the one marked as default by default"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""
    output: str | None = None
    """folder for a copy of the bundle that decodes so by itself, its language model included"""
    report_dir: str | None = None
    """folder for all trials (trials.csv), their picture (surface.png) and the best settings (decoder.yaml)"""
    overwrite: bool = False
    """replace files in report_dir that were not written by this command, or changed since, and a damaged bundle; never
    a folder with files of others"""
    log: LogStyle = LogStyle.text
    """messages on stderr as text or as json lines"""

    def __post_init__(self) -> None:
        check_settings(self)
        _check_channel(self.channel)
