"""Numbers, dates, times and amounts of a transcript in figures, the way that people write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.punctuation.numbers.english import CONTEXT, english_expressions
from asr.punctuation.numbers.other_languages import LANGUAGES, cardinals, check_written_language

__all__ = ["CONTEXT", "LANGUAGES", "NumberSpan", "write_numbers"]


@dataclass(frozen=True, slots=True)
class NumberSpan:
    """Words that are written otherwise: those from `start` to before `end` become `text`."""

    start: int
    end: int
    text: str


def write_numbers(words: Sequence[str], *, language: str = "en") -> list[NumberSpan]:
    """The numbers of a text as they are written.

    Parameters
    ----------
    words : sequence of str
        As the recogniser writes them: lower case, letters and apostrophes.
    language : str
        `en`, or one of `LANGUAGES`: cardinals and decimal numbers only.

    Returns
    -------
    list of NumberSpan
        In the order of the words, without overlap. Numbers that stay in words are not among them.

    Raises
    ------
    ConfigError
        If the language has no rules: the message names those that have.

    Notes
    -----
    The style is that of the Associated Press with the exceptions in docs/numbers.md, and no word changes its place.
    In English, a rule looks at no more than `CONTEXT` words beside the number words of an expression, so a text may be
    cut anywhere else.

    Examples
    --------
    >>> words = "it costs twenty five dollars he said on may fourth".split()
    >>> [(words[span.start : span.end], span.text) for span in write_numbers(words)]
    [(['twenty', 'five', 'dollars'], '$25'), (['may', 'fourth'], 'May 4')]
    >>> write_numbers("one of them".split())
    []
    """
    base = check_written_language(language)
    if base != "en":
        return [NumberSpan(start, end, text) for start, end, text in cardinals(words, base)]
    return [NumberSpan(one.start, one.end, one.text) for one in english_expressions(words) if one.text is not None]
