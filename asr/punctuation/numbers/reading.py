"""Reads texts with and without figures alike: the words of a text are those of the same text with its numbers written.

The written form of numbers is shared by several spoken ones: 101 is "one hundred and one" and "one hundred one". So
both texts are taken to the same words, those that are said most often.
"""

from __future__ import annotations

from collections.abc import Sequence

from asr.punctuation.numbers import NumberSpan, write_numbers
from asr.punctuation.numbers.other_languages import check_written_language
from asr.punctuation.numbers.spoken_english import Spelling, say_english

_MOST_ROUNDS = 50
"""far more than any text takes; it bounds the time"""


class NumberReader:
    """Takes a text, and what `write_numbers` makes of it, to the same words.

    Parameters
    ----------
    language : str
        As for `write_numbers`. In English the result is in words; in other languages it is in figures, which are all
        that the rules of those languages know.
    plain : callable
        Makes the words of what has no figures: in lower case, without marks.

    Raises
    ------
    ConfigError
        If the language has no rules.

    Notes
    -----
    Writing and saying alternate until nothing changes: w, say(write(w)), say(write(say(write(w)))) ... A text in which
    the numbers are written, say(write(w)), is a later member of the same sequence as its words w, so both end with
    the same words, whatever the rules do. Should a sequence end in a circle, its least member is the result.

    Examples
    --------
    >>> read = NumberReader("en", lambda piece: piece.lower().strip(".,").split())
    >>> read("It cost $25, on May 4.")
    ['it', 'cost', 'twenty', 'five', 'dollars', 'on', 'may', 'fourth']
    >>> read("one hundred one") == read("one hundred and one") == read("101")
    True
    """

    def __init__(self, language: str, plain: Spelling) -> None:
        self.language, self._plain = check_written_language(language), plain

    def __call__(self, text: str) -> list[str]:
        """The words of a text."""
        words = self._say(text.split())
        seen: list[list[str]] = []
        while words not in seen and len(seen) < _MOST_ROUNDS:
            seen.append(words)
            spans = write_numbers(words, language=self.language)
            if not spans:
                return words
            words = self._say(_written(words, spans))
        return min(seen[seen.index(words) :]) if words in seen else words

    def _say(self, tokens: Sequence[str]) -> list[str]:
        if self.language == "en":
            return say_english(tokens, self._plain)
        return [word for token in tokens for word in self._plain_or_figures(token)]

    def _plain_or_figures(self, token: str) -> Sequence[str]:
        bare = token.strip(".,:;?!\u2013\u2014")
        return [bare] if bare.replace(".", "").replace(",", "").isdecimal() else self._plain(token)


def _written(words: Sequence[str], spans: Sequence[NumberSpan]) -> list[str]:
    tokens: list[str] = []
    place = 0
    for span in spans:
        tokens += [*words[place : span.start], *span.text.split()]
        place = span.end
    return [*tokens, *words[place:]]
