"""API keys, and how many requests may be open at once: in all, and with each key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Scope

from asr.errors import ConfigError
from asr.serving.refusals import ApiError, busy
from asr.settings.checks import number_from_1

_LINE = "NAME KEY [REQUESTS], such as `laptop 3f9c...e1 8`"
_SHORTEST_KEY = 16
OPENAI_KEY_PROTOCOL = "openai-insecure-api-key."
"""what a subprotocol of a WebSocket begins with that goes on with a key, as OpenAI has it"""
KEY_PROTOCOL = "asr-key."
"""the same with the key in base64url: not every key can be a subprotocol"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: the line of a key, or anyone where there are no keys."""

    name: str
    most_requests: int
    """that are open at once"""


ANYONE = Caller("", 1 << 30)
"""where there are no keys"""


class Keys:
    """The API keys of a server.

    Parameters
    ----------
    callers : sequence of (key, Caller)
        None at all: everyone may send requests.
    """

    def __init__(self, callers: Sequence[tuple[str, Caller]] = ()) -> None:
        self._callers = [(_digest(key), caller) for key, caller in callers]

    def __bool__(self) -> bool:
        return bool(self._callers)

    @classmethod
    def read(cls, path: Path, *, most_requests: int) -> Keys:
        """Read keys from a file: a line each with a name, the key and, if it differs, its number of open requests.

        Empty lines and those that begin with # are skipped.

        Parameters
        ----------
        path : Path
        most_requests : int
            That a key may have open where its line has no number.

        Raises
        ------
        ConfigError
            Naming file and line, if the file cannot be read, or a line is malformed, or a key is there twice.
        """
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            raise ConfigError(f"keys_file: {path}: {reason}") from None
        callers: dict[str, Caller] = {}
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            place = f"{path}:{number}"
            if len(words) not in (2, 3):
                raise ConfigError(f"{place}: a line must be {_LINE}; this one has {len(words)} words")
            name, key = words[:2]
            if len(key) < _SHORTEST_KEY or not re.fullmatch(r"[!-~]+", key):
                raise ConfigError(
                    f"{place}: a key must have at least {_SHORTEST_KEY} letters, digits and signs of ASCII: "
                    "`openssl rand -hex 24` makes one"
                )
            if len(words) == 3 and (number_from_1(words[2]) or 0) not in range(1, 100_001):
                raise ConfigError(f"{place}: the number of open requests must be between 1 and 100000, not {words[2]}")
            if key in callers or name in {one.name for one in callers.values()}:
                raise ConfigError(f"{place}: the name {name!r} or its key is in the file twice")
            callers[key] = Caller(name, int(words[2]) if len(words) == 3 else most_requests)
        if not callers:
            raise ConfigError(f"keys_file: {path} has no keys: a line must be {_LINE}")
        return cls(list(callers.items()))

    def caller(self, authorization: str) -> Caller | None:
        """Who sends a request, by its header `Authorization`; None where keys are needed and this is none.

        Every key is compared, in a time that does not depend on how much of it is right.
        """
        if not self._callers:
            return ANYONE
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip())
        found = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class OpenRequests:
    """Counts the requests that are open.

    Parameters
    ----------
    most : int
        In all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_caller: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_caller.total()

    @contextmanager
    def one_more(self, caller: Caller, *, wait_seconds: float) -> Iterator[None]:
        """Count a request while it is open.

        Parameters
        ----------
        caller : Caller
        wait_seconds : float
            How long the requests that are open will take, as far as is known.

        Raises
        ------
        ApiError
            429 if the caller, or the server, has as many as it may have.
        """
        if self._by_caller[caller.name] >= caller.most_requests:
            raise busy(
                f"This API key has {caller.most_requests} requests open, the most that it may have.",
                code="rate_limit_exceeded",
                wait_seconds=wait_seconds,
            )
        if len(self) >= self._most:
            raise busy(
                f"The server has {self._most} requests open, the most that it may have (limits.requests).",
                code="server_busy",
                wait_seconds=wait_seconds,
            )
        self._by_caller[caller.name] += 1
        try:
            yield
        finally:
            self._by_caller[caller.name] -= 1
            if not self._by_caller[caller.name]:
                del self._by_caller[caller.name]


def key_of_browser(scope: Scope) -> str:
    """The key among the subprotocols of a WebSocket, as a header has it: a page cannot send the header."""
    for protocol in scope.get("subprotocols", []):
        if protocol.startswith(OPENAI_KEY_PROTOCOL):
            return f"Bearer {protocol.removeprefix(OPENAI_KEY_PROTOCOL)}"
        if protocol.startswith(KEY_PROTOCOL):
            content = protocol.removeprefix(KEY_PROTOCOL)
            try:
                key = base64.b64decode(content + "=" * (-len(content) % 4), altchars=b"-_", validate=True)
            except ValueError:
                return "Bearer"
            return f"Bearer {key.decode('ascii', 'replace')}"
    return ""


def unauthorized(authorization: str) -> ApiError:
    """401: no key, or a wrong one."""
    message = (
        "Incorrect API key provided."
        if authorization
        else "You didn't provide an API key. Send it in the header `Authorization: Bearer KEY`."
    )
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
