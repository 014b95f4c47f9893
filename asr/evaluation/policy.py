"""The scoring policy: how texts are normalised before they are compared, and how much each rule changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path

from asr.errors import ConfigError, encoding_problem
from asr.files import refuse_pipe, typed_path
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text, remove_invisible

POLICY_VERSION = 2
"""Increases whenever a rule changes: error rates of different versions must not be compared."""
_LIBRARY = "whisper-normalizer"

Change = Callable[[str], tuple[str, int]]
"""from a text to the changed text and the number of changed places"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One step of a policy."""

    name: str
    apply: Change


@dataclass(frozen=True, slots=True)
class RuleCount:
    """The number of changes by a rule."""

    texts: int = 0
    places: int = 0


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule, and how much it changed on each side."""

    name: str
    sides: Mapping[str, RuleCount]
    """by side: references, and the hypotheses of each system"""


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """A policy as reports describe it."""

    version: int
    name: str
    unicode_form: str
    lowercase: bool
    strip_punctuation: bool
    keep: str
    english: bool
    rules: tuple[RuleSummary, ...]


@dataclass
class ScoringPolicy:
    """How texts are normalised before they are compared.

    Parameters
    ----------
    normalizer : NormalizerConfig
        Unicode form, case, punctuation.
    english : bool
        Fillers, contractions, numbers and British spellings too, as OpenAI's Whisper is scored.
    rules : str, optional
        File of regular expressions and their replacements, `pattern => replacement`, one per line.
    synonyms : str, optional
        File of words and phrases that count as equal, one group per line, separated by commas.
    numbers : str, optional
        Language whose numbers are read: a text in figures then scores exactly as the words that it was written from.

    Raises
    ------
    ConfigError
        If a file cannot be read, or one of its lines is invalid: the message names it. If numbers cannot be read in
        that language, or with this normaliser.

    Notes
    -----
    The English rules are those of A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
    2022, appendix C, by the library whisper-normalizer.

    Examples
    --------
    >>> ScoringPolicy(NormalizerConfig())("The colour's GREY!")
    "the colour's grey"
    >>> ScoringPolicy(NormalizerConfig(), english=True)("The colour's GREY, uh, forty two.")
    'the color is gray 42'
    >>> ScoringPolicy(NormalizerConfig(), numbers="en")("It costs $25, on May 4.")
    'it costs twenty five dollars on may fourth'
    """

    normalizer: NormalizerConfig
    english: bool = False
    rules: str | None = None
    synonyms: str | None = None
    numbers: str | None = None
    counts: dict[str, dict[str, RuleCount]] = field(default_factory=dict, init=False)
    """by side (references, hypotheses) and rule"""

    def __post_init__(self) -> None:
        keep = self.normalizer.keep
        # Before the English rules, which match words by their letters.
        self._steps = [Rule("invisible characters", _by_words(partial(remove_invisible, keep=keep)))]
        if self.numbers:
            self._steps += _number_rules(self.numbers, self.normalizer, removes_brackets=self.english)
        self._steps += [*(_english_rules() if self.english else []), *_basic_rules(self.normalizer)]
        self._steps += _user_rules(self.rules) if self.rules else []
        self._steps += _synonym_rules(self.synonyms) if self.synonyms else []

    def __call__(self, text: str) -> str:
        """One text, without counting."""
        for rule in self._steps:
            text, _ = rule.apply(text)
        return " ".join(text.split())

    def apply(self, texts: Iterable[str], side: str) -> list[str]:
        """Texts of one side (references or hypotheses), counting what each rule changes."""
        counts = self.counts.setdefault(side, {rule.name: RuleCount() for rule in self._steps})
        results = []
        for text in texts:
            for rule in self._steps:
                text, places = rule.apply(text)
                count = counts[rule.name]
                counts[rule.name] = RuleCount(count.texts + (places > 0), count.places + places)
            results.append(" ".join(text.split()))
        return results

    @property
    def name(self) -> str:
        """A short description, with the versions and files that it depends on."""
        normalizer = self.normalizer
        plain = not normalizer.lowercase and not normalizer.strip_punctuation
        parts = ["none" if plain else "basic"]
        if self.english:
            parts = [*([] if plain else parts), f"English ({_LIBRARY} {metadata.version(_LIBRARY)})"]
        parts += [f"numbers ({self.numbers})"] if self.numbers else []
        parts += [f"{Path(one).name} (sha256 {_digest(one)})" for one in (self.rules, self.synonyms) if one]
        return " + ".join(parts)

    def describe(self) -> PolicySummary:
        """Version, settings, and how much each rule changed so far."""
        normalizer = self.normalizer
        return PolicySummary(
            version=POLICY_VERSION,
            name=self.name,
            unicode_form=normalizer.unicode_form.value,
            lowercase=normalizer.lowercase,
            strip_punctuation=normalizer.strip_punctuation,
            keep=normalizer.keep,
            english=self.english,
            rules=tuple(
                RuleSummary(rule.name, {side: counts[rule.name] for side, counts in self.counts.items()})
                for rule in self._steps
            ),
        )


def _digest(path: str) -> str:
    return hashlib.sha256(typed_path(path).read_bytes()).hexdigest()[:12]


def _basic_rules(settings: NormalizerConfig) -> list[Rule]:
    """The steps of `normalize_text`: each rule does what the rules before it do, and one more step."""
    unicode = replace(settings, lowercase=False, strip_punctuation=False)
    case = replace(settings, strip_punctuation=False)
    rules = [("unicode", unicode), ("case", case), ("punctuation", settings)]
    wanted = (True, settings.lowercase, settings.strip_punctuation)
    return [
        Rule(name, _by_words(partial(normalize_text, settings=step)))
        for (name, step), is_wanted in zip(rules, wanted, strict=True)
        if is_wanted
    ]


def _by_words(change: Callable[[str], str]) -> Change:
    """A change that counts the words it changes; white space does not count."""

    def apply(text: str) -> tuple[str, int]:
        changed = change(text)
        before, after = text.split(), changed.split()
        if before == after:
            return changed, 0
        if len(before) == len(after):
            return changed, sum(one != other for one, other in zip(before, after, strict=True))
        return changed, sum(change(word).split() != [word] for word in before) or 1

    return apply


_BRACKETS = (r"[<\[][^>\]]*[>\]]", r"\(([^)]+?)\)")


def _number_rules(language: str, normalizer: NormalizerConfig, *, removes_brackets: bool) -> list[Rule]:
    """Numbers as words, in texts with figures and without.

    They are read before all rules that change words or marks: these rules are then given the same of both texts.
    """
    if not (normalizer.lowercase and normalizer.strip_punctuation):
        raise ConfigError(
            "numbers: needs normalizer=standard: in texts with figures, capitals and marks are other ones"
        )
    from asr.punctuation.numbers.other_languages import check_written_language
    from asr.punctuation.numbers.reading import NumberReader

    check_written_language(language, "numbers")
    unicode = replace(normalizer, lowercase=False, strip_punctuation=False)
    reader = NumberReader(language, lambda piece: normalize_text(piece, normalizer).split())

    def read(text: str) -> str:
        return " ".join(reader(normalize_text(text, unicode)))

    rules = [Rule(f"numbers ({language})", _by_words(read))]
    if removes_brackets:
        brackets = [(re.compile(pattern), "") for pattern in _BRACKETS]
        rules.insert(0, Rule("english: brackets", partial(_substitute, replacements=brackets)))
    return rules


def _english_rules() -> list[Rule]:
    """Whisper's rules in their order, in four groups that are counted separately."""
    from whisper_normalizer.english import EnglishTextNormalizer, remove_symbols_and_diacritics

    library = EnglishTextNormalizer()

    def clean(text: str) -> tuple[str, int]:
        patterns = (*_BRACKETS, library.ignore_patterns)
        return _substitute(text.lower(), [(re.compile(pattern), "") for pattern in patterns])

    contractions = [(re.compile(pattern), other) for pattern, other in library.replacers.items()]

    def expand(text: str) -> tuple[str, int]:
        return _substitute(re.sub(r"\s+'", "'", text), contractions)

    def number(text: str) -> str:
        text = re.sub(r"(\d),(\d)", r"\1\2", text)
        text = re.sub(r"\.([^0-9]|$)", r" \1", text)
        return str(library.standardize_numbers(remove_symbols_and_diacritics(text, keep=".%$¢€£")))

    def spell(text: str) -> str:
        text = library.standardize_spellings(text)
        return re.sub(r"([^0-9])%", r"\1 ", re.sub(r"[.$¢€£]([^0-9])", r" \1", text))

    return [
        Rule("english: brackets and fillers", clean),
        Rule("english: contractions", expand),
        Rule("english: numbers and symbols", _by_words(number)),
        Rule("english: spellings", _by_words(spell)),
    ]


def _substitute(text: str, replacements: Sequence[tuple[re.Pattern[str], str]]) -> tuple[str, int]:
    places = 0
    for pattern, replacement in replacements:
        text, count = pattern.subn(replacement, text)
        places += count
    return text, places


def _user_rules(path: str) -> list[Rule]:
    rules = []
    for where, line in _lines(path, "scoring_rules"):
        pattern, arrow, replacement = line.partition("=>")
        if not arrow:
            raise ConfigError(f"{where}: `pattern => replacement` is wanted, not {line!r}")
        try:
            compiled = re.compile(pattern.strip())
            compiled.sub(replacement.strip(), "")
        except (re.error, IndexError) as error:
            raise ConfigError(f"{where}: {pattern.strip()!r} is not a regular expression: {error}") from error
        change = [(compiled, replacement.strip())]
        rules.append(Rule(f"rule: {line}", partial(_substitute, replacements=change)))
    return rules


def _synonym_rules(path: str) -> list[Rule]:
    rules = []
    seen: dict[str, str] = {}
    for where, line in _lines(path, "synonyms"):
        words = [" ".join(word.split()) for word in line.split(",") if word.strip()]
        if len(words) < 2:
            raise ConfigError(f"{where}: two words or more are wanted, separated by commas, not {line!r}")
        for word in words:
            if word in seen:
                raise ConfigError(f"{where}: {word!r} is in the group of {seen[word]} already")
            seen[word] = where
        others = "|".join(re.escape(word) for word in sorted(words[1:], key=len, reverse=True))
        change = [(re.compile(rf"(?<!\S)(?:{others})(?!\S)"), words[0].replace("\\", r"\\"))]
        rules.append(Rule(f"synonyms: {line}", partial(_substitute, replacements=change)))
    return rules


def _lines(path: str, setting: str) -> list[tuple[str, str]]:
    """The lines with content, each with `file:line`."""
    refuse_pipe(typed_path(path), f"{setting}={path}")  # `ScoringPolicy.name` reads it too
    try:
        content = typed_path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{setting}={path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{setting}={path}: {encoding_problem(error)}") from None
    lines = ((f"{path}:{number}", line.strip()) for number, line in enumerate(content.splitlines(), start=1))
    return [(where, line) for where, line in lines if line and not line.startswith("#")]
