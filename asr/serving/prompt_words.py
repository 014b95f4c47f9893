"""The words of a prompt that become hot words.

OpenAI's `prompt` is a text that precedes the recording, and what it is used for is the spelling of names: either a list
("Siobhan, Nguyen, ACME") or sentences with the names in them. Common words as hot words would do harm.
"""

from __future__ import annotations

import re

_MOST_PHRASES = 200
_MOST_WORDS = 3
"""of an entry of a list; a longer piece is a part of a sentence"""
_SENTENCE = re.compile(r"[\n\r]+|(?<=[.!?…])\s+")
_ENTRY = re.compile(r"[,;|•\n\r]+|(?<=[.!?…])\s+")
_BARE = re.compile(r"\w(?:.*\w)?", re.DOTALL)
"""what marks surround; to search for the marks would take quadratic time"""


def prompt_phrases(prompt: str) -> list[str]:
    """The hot words and phrases of a prompt.

    Parameters
    ----------
    prompt : str

    Returns
    -------
    list of str
        Of a list (entries of up to three words, separated by commas, semicolons or lines), the entries. Of sentences,
        the words with a capital letter or a digit, unless only their place at the beginning of the sentence gives them
        one; several such words in a row are one phrase.

    Examples
    --------
    >>> prompt_phrases("Siobhan Murphy, Nguyen; ACME")
    ['Siobhan Murphy', 'Nguyen', 'ACME']
    >>> prompt_phrases("This is a call between Siobhan Murphy and the people at ACME about GPT-4.")
    ['Siobhan Murphy', 'ACME', 'GPT-4']
    """
    entries = [piece for piece in _ENTRY.split(prompt) if piece.strip()]
    if all(len(entry.split()) <= _MOST_WORDS for entry in entries):
        found = [" ".join(entry.split()) for entry in entries]
    else:
        found = [name for sentence in _SENTENCE.split(prompt) for name in _names(sentence)]
    phrases = map(_without_edges, found)
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))[:_MOST_PHRASES]


def _names(sentence: str) -> list[str]:
    """The words of a sentence that are names by their spelling; those in a row, without a mark between, together."""
    phrases: list[list[str]] = [[]]
    for place, word in enumerate(sentence.split()):
        bare = _without_edges(word)
        if _is_name(bare if place else bare[1:]):
            phrases[-1].append(bare)
            if word.endswith(bare):
                continue
        phrases.append([])
    return [" ".join(phrase) for phrase in phrases if phrase]


def _without_edges(phrase: str) -> str:
    """A phrase without the marks before and after it."""
    found = _BARE.search(phrase)
    return found[0] if found else ""


def _is_name(word: str) -> bool:
    return any(one.isupper() or one.isdigit() for one in word)
