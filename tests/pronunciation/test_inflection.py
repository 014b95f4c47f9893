from __future__ import annotations

import pytest

from asr.pronunciation.inflection import inflect


def phones(text: str) -> tuple[str, ...]:
    return tuple(text.split())


STEMS = {
    "dog": "D AO G",
    "cat": "K AE T",
    "boss": "B AO S",
    "judge": "JH AH JH",
    "city": "S IH T IY",
    "rate": "R EY T",
    "rat": "R AE T",
    "hum": "HH AH M",
    "seem": "S IY M",
    "wonder": "W AH N D ER",
    "carry": "K EH R IY",
    "happy": "HH AE P IY",
    "actual": "AE K CH AH W AH L",
    "slow": "S L OW",
    "step": "S T EH P",
    "receive": "R IH S IY V",
    "dogs": "D AO G Z",
    "al": "AE L",
    "see": "S IY",
    "be": "B IY",
    "coming": "K AH M IH NG",
    "basic": "B EY S IH K",
    "basical": "B EY S IH K AH L",
    "vol": "V AO L",
    "bas": "B AE S",
}
DICTIONARY = {word: (phones(text),) for word, text in STEMS.items()}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog's", "D AO G Z"),
        ("cat's", "K AE T S"),
        ("boss's", "B AO S IH Z"),
        ("judge's", "JH AH JH IH Z"),
        ("al's", "AE L Z"),
        ("dogs'", "D AO G Z"),
        ("cats", "K AE T S"),
        ("bosses", "B AO S IH Z"),
        ("judges", "JH AH JH IH Z"),
        ("cities", "S IH T IY Z"),
        ("rated", "R EY T IH D"),
        ("hummed", "HH AH M D"),
        ("seemed", "S IY M D"),
        ("stepped", "S T EH P T"),
        ("wondered", "W AH N D ER D"),
        ("carried", "K EH R IY D"),
        ("rating", "R EY T IH NG"),
        ("humming", "HH AH M IH NG"),
        ("carrying", "K EH R IY IH NG"),
        ("seeing", "S IY IH NG"),
        ("stepp'd", "S T EH P T"),
        ("receiv'd", "R IH S IY V D"),
        ("seem'd", "S IY M D"),
        ("carry'd", "K EH R IY D"),
        ("happiness", "HH AE P IY N AH S"),
        ("dogless", "D AO G L AH S"),
        ("actually", "AE K CH AH W AH L IY"),
        ("comin", "K AH M IH N"),
        ("comin'", "K AH M IH N"),
        ("slowest", "S L OW AH S T"),
        ("happiest", "HH AE P IY AH S T"),
        ("seemeth", "S IY M IH TH"),
        ("basically", "B EY S IH K L IY"),
        ("slowly", "S L OW L IY"),
    ],
)
def test_an_ending_follows_the_last_sound_of_its_stem(word, expected):
    assert inflect(word, DICTIONARY) == (phones(expected),)


@pytest.mark.parametrize("word", ["seldom", "als", "bed", "bass", "volus", "being", "'s", "s", "ed", "'d", "s'", ""])
def test_a_word_without_a_known_stem_has_no_rule(word):
    assert inflect(word, DICTIONARY) == ()


def test_every_variant_of_a_stem_is_inflected_and_repetitions_are_merged():
    stems = {"route": (phones("R UW T"), phones("R AW T")), "their": (phones("DH EH R"), phones("DH EH R"))}
    assert inflect("routes", stems) == (phones("R UW T S"), phones("R AW T S"))
    assert inflect("their's", stems) == (phones("DH EH R Z"),)


@pytest.mark.parametrize(
    ("ending", "least", "share"), [("'s", 5000, 0.97), ("s'", 700, 0.93), ("ed", 4000, 0.96), ("ly", 1300, 0.9)]
)
def test_rules_agree_with_the_words_of_cmudict_that_have_a_stem_there(cmu, ending, least, share):
    # CMUdict has no one way to write the unstressed vowel.
    merged = {
        word: {tuple("AH" if phone == "IH" else phone for phone in one) for one in variants}
        for word, variants in cmu.items()
        if word.endswith(ending)
    }
    right = applied = 0
    for word, variants in merged.items():
        found = {tuple("AH" if phone == "IH" else phone for phone in one) for one in inflect(word, cmu)}
        applied += bool(found)
        right += bool(found & variants)
    assert applied >= least
    assert right >= share * applied
