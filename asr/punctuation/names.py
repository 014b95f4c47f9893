"""The spelling of names that a user gives as hot words: "Kathleen", "Bank of America", "iPhone"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_BETWEEN = re.compile(r"[\s-]+")


class Names:
    """Words and phrases that are written as they were given, wherever they occur.

    Parameters
    ----------
    phrases : iterable of str
        Those without a capital are left out: they say nothing about how they are written.

    Examples
    --------
    >>> Names(["Bank of America", "iPhone", "boston"]).places(["the", "bank", "of", "america", "in", "boston"])
    {1: 'Bank', 2: 'of', 3: 'America'}
    """

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
        given = {tuple(filter(None, _BETWEEN.split(phrase))) for phrase in phrases if phrase != phrase.lower()}
        for forms in sorted(given, key=lambda one: (-len(one), one)):  # the longest first
            words = tuple(form.lower() for form in forms)
            self._by_first.setdefault(words[0], []).append((words, forms))

    def places(self, words: Sequence[str]) -> dict[int, str]:
        """How words are written, by their places.

        Parameters
        ----------
        words : sequence of str
            In lower case.
        """
        found: dict[int, str] = {}
        if not self._by_first:
            return found
        place = 0
        while place < len(words):
            known = self._by_first.get(words[place], ())
            forms = next((forms for one, forms in known if tuple(words[place : place + len(one)]) == one), None)
            found |= {} if forms is None else dict(enumerate(forms, start=place))
            place += len(forms) if forms else 1
        return found
