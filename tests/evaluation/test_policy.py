from __future__ import annotations

import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from asr.errors import ConfigError
from asr.evaluation.policy import POLICY_VERSION, RuleCount, ScoringPolicy
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text

TEXTS = [
    "It's 5 o'clock, isn't it? He won't come; we've gone.",
    "Mr. Brown's colour, uh, twenty-five dollars [laughs] and (cough) £3.50!",
    "The centre's 2,500 metres away: 10 % more, naïve café",
    "I'm gonna organise it, mm, three hundred and forty two",
    "",
    "東京 Ελλάδα",
]


def test_the_basic_policy_is_the_normaliser_in_parts():
    policy = ScoringPolicy(NormalizerConfig())
    assert policy.apply(TEXTS, "references") == [normalize_text(text, NormalizerConfig()) for text in TEXTS]
    plain = NormalizerConfig(lowercase=False, strip_punctuation=False)
    assert ScoringPolicy(plain).apply(TEXTS, "references") == [normalize_text(text, plain) for text in TEXTS]
    assert ScoringPolicy(plain).name == "none"


def test_the_english_policy_is_the_librarys_in_parts():
    library = EnglishTextNormalizer()
    policy = ScoringPolicy(NormalizerConfig(), english=True)
    for text in TEXTS:
        assert policy(text) == normalize_text(library(text), NormalizerConfig())
    assert policy("We'll colour it, um, twenty one.") == "we will color it 21"
    assert "whisper-normalizer" in policy.name


def test_what_each_rule_changed_is_counted(tmp_path):
    (tmp_path / "rules").write_text("# spoken numbers\n\\bper cent\\b => percent\n")
    (tmp_path / "same").write_text("ok, okay, o k\n")
    policy = ScoringPolicy(NormalizerConfig(), rules=str(tmp_path / "rules"), synonyms=str(tmp_path / "same"))
    assert policy.apply(["Okay, ten per cent. O.K.?", "ok"], "references") == ["ok ten percent ok", "ok"]
    assert policy.apply(["nothing"], "hypotheses") == ["nothing"]
    counts = {one.name: one.sides["references"] for one in policy.describe().rules}
    assert counts["case"] == RuleCount(texts=1, places=2)
    assert counts["punctuation"] == RuleCount(texts=1, places=3)
    assert counts["rule: \\bper cent\\b => percent"] == RuleCount(texts=1, places=1)
    assert counts["synonyms: ok, okay, o k"] == RuleCount(texts=1, places=2)
    assert all(one.sides["hypotheses"] == RuleCount() for one in policy.describe().rules)
    assert policy.describe().version == POLICY_VERSION
    assert "rules (sha256 " in policy.name


def test_synonyms_are_whole_words_and_the_longest_comes_first(tmp_path):
    (tmp_path / "same").write_text("new york, ny, ny city\n\nc++, see plus plus\n")
    policy = ScoringPolicy(NormalizerConfig(keep="'+"), synonyms=str(tmp_path / "same"))
    assert policy("ny city any ny see plus plus") == "new york any new york c++"


@pytest.mark.parametrize(
    ("setting", "content", "message"),
    [
        ("rules", "a b\n", "file:1: `pattern => replacement` is wanted"),
        ("rules", "ok => fine\n(a => b\n", "file:2: '(a' is not a regular expression"),
        ("rules", "a => \\2\n", "file:1: 'a' is not a regular expression"),
        ("synonyms", "alone\n", "file:1: two words or more are wanted"),
        ("synonyms", "a, b\nc, b\n", "file:2: 'b' is in the group of"),
        ("synonyms", b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, setting, content, message):
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        ScoringPolicy(NormalizerConfig(), **{setting: str(path)})
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        ScoringPolicy(NormalizerConfig(), **{setting: str(tmp_path / "none")})
