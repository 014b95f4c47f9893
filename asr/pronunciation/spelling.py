"""American spellings of British words: dictionaries of US English lack the latter."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Only after a vowel and a consonant: "hour", "rise" and "fence" are spelled so everywhere. The vowel is searched apart:
# within these expressions, the time would be quadratic in the length of a word.
_VOWEL = re.compile("[aeiouy]")
_RULES = (
    (re.compile(r"([^aeiou])our(|s|ed|ing|er|ers|able|ably|ite|ites|ful|less|y)$"), r"\1or\2"),  # favourable
    (re.compile(r"([^aeiou])is(e|ed|er|ers|es|ing|ation|ations)$"), r"\1iz\2"),  # civilised
    (re.compile(r"([^aeiou])ys(e|ed|es|ing)$"), r"\1yz\2"),  # analysed
    (re.compile(r"([^aeiou])enc(e|es)$"), r"\1ens\2"),  # pretences
    (re.compile(r"tre(s?)$"), r"ter\1"),  # theatres
)


def american_spellings(word: str) -> Iterator[str]:
    """Spellings that may be the American ones of a word in lower case; a dictionary decides which of them are words.

    Examples
    --------
    >>> list(american_spellings("favourable"))
    ['favorable']
    >>> list(american_spellings("civilisation's"))
    ["civilization's"]
    >>> list(american_spellings("hours"))
    []
    """
    stem = word.removesuffix("'s")
    for pattern, american in _RULES:
        match = pattern.search(stem)
        if match and _VOWEL.search(stem, 0, match.start()):
            yield stem[: match.start()] + match.expand(american) + word[len(stem) :]
