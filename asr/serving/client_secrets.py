"""OpenAI's ephemeral keys: a program with an API key makes one, and a browser opens live streams with it.

They are kept in memory until they expire; a server that starts again knows none of them.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from asr.serving.limits import Caller
from asr.serving.refusals import busy

SHORTEST_SECONDS, DEFAULT_SECONDS, LONGEST_SECONDS = 10, 600, 7200
_SECRET = re.compile(r"bearer\s+(ek_[0-9a-f]{48})\s*", re.IGNORECASE)
_MOST_OF_CALLER = 500


@dataclass(frozen=True, slots=True)
class Grant:
    """What an ephemeral key allows: live streams for a caller, which begin with the settings of a session."""

    caller: Caller
    session: Mapping[str, Any]
    """as the maker of the key gave it, and it was found right"""
    expires: float
    """seconds since 1970"""


def client_secret(authorization: str) -> str | None:
    """The ephemeral key in a header `Authorization`; None for any other key."""
    found = _SECRET.fullmatch(authorization)
    return found[1] if found else None


class ClientSecrets:
    """The ephemeral keys of a server.

    Parameters
    ----------
    clock : callable, optional
        The seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    def make(self, caller: Caller, session: Mapping[str, Any], seconds: int) -> tuple[str, int]:
        """Make a key.

        Parameters
        ----------
        caller : Caller
            On whose behalf streams are opened with it.
        session : mapping
            Its settings as they were given, and found right.
        seconds : int
            For how long streams can be opened with it.

        Returns
        -------
        value : str
        expires : int
            In seconds since 1970.

        Raises
        ------
        ApiError
            429 if the caller has too many that are valid.
        """
        now = self._clock()
        self._grants = {value: one for value, one in self._grants.items() if one.expires > now}
        expiries = [one.expires for one in self._grants.values() if one.caller == caller]
        if len(expiries) >= _MOST_OF_CALLER:
            raise busy(
                f"{_MOST_OF_CALLER} client secrets are valid, the most that a key may have.",
                code="rate_limit_exceeded",
                wait_seconds=min(expiries) - now,
            )
        value, expires = f"ek_{secrets.token_hex(24)}", ceil(now + seconds)
        self._grants[value] = Grant(caller, session, expires)
        return value, expires

    def find(self, value: str) -> Grant | None:
        """What a key allows; None if there is no such key, or it has expired."""
        grant = self._grants.get(value)
        return None if grant is None or grant.expires <= self._clock() else grant
