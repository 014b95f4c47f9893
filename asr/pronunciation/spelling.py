"""American spellings of British words: dictionaries of US English lack the latter."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Only after a vowel and a consonant: "hour", "rise" and "fence" are spelled so everywhere.
_STEM = r"^(.*[aeiouy].*"
_RULES = (
    (r"[^aeiou])our(|s|ed|ing|er|ers|able|ably|ite|ites|ful|less|y)$", r"\1or\2"),  # favourable
    (r"[^aeiou])is(e|ed|er|ers|es|ing|ation|ations)$", r"\1iz\2"),  # civilised
    (r"[^aeiou])ys(e|ed|es|ing)$", r"\1yz\2"),  # analysed
    (r"[^aeiou])enc(e|es)$", r"\1ens\2"),  # pretences
    (r")tr(e|es)$", lambda match: match[1] + ("ters" if match[2] == "es" else "ter")),  # theatres
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
        respelled = re.sub(_STEM + pattern, american, stem)
        if respelled != stem:
            yield respelled + word[len(stem) :]
