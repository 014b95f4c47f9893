"""Errors that a user can cause: each says what was wanted, what came, and where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def printable(text: str | Path) -> str:
    """Text that can be printed and written: NUL and halves of surrogate pairs are escaped, the rest is unchanged.

    Undecodable bytes of file names, which Python represents as surrogates, become these bytes again.
    """
    text = str(text).replace("\0", "\\0")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_utf_16(content: bytes) -> bool:
    """Whether a file has the byte order mark of UTF-16, in which Windows' programs write texts."""
    return content.startswith(_UTF_16)


def encoding_problem(error: UnicodeDecodeError) -> str:
    """What is wrong with a file that should be UTF-8."""
    if is_utf_16(error.object):
        return "UTF-16 text: save it as UTF-8"
    return f"not UTF-8 text ({error.reason} at byte {error.start})"


class AsrError(Exception):
    """Base of all errors that a caller or a user can cause. The message is for users."""


class ConfigError(AsrError):
    """A setting, an override or a combination of settings that cannot be used."""


class MissingPackageError(ConfigError, ImportError):
    """Work that needs a package which is not installed. To Python, it is an import that failed."""


class _FileError(Exception):
    """The path of a file and the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{printable(path)}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # to be sent between processes
        return type(self), (self.path, self.reason)


class OutputError(_FileError, ConfigError):
    """An output that cannot be written, or would replace a file of others: its path and the reason."""


class AudioError(_FileError, AsrError):
    """A recording that cannot be read, with its path and the reason."""


class AlignmentError(AsrError):
    """A text that does not fit its recording, or has no words to align."""


class PoolFullError(AsrError):
    """A recording or a stream that is refused because there is too much work already."""

    def __init__(self, reason: str, retry_seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_seconds = retry_seconds
        """when to try again"""

    def __reduce__(self) -> tuple[type, tuple[str, float]]:  # to travel between processes
        return type(self), (self.reason, self.retry_seconds)


class PoolClosedError(AsrError):
    """A recording or a stream that is not recognised because the pool ends."""


class WorkerEndedError(AsrError):
    """A recording or a stream whose worker process ended; the message says how."""


class ClusterError(AsrError):
    """Workers on other machines that cannot be reached or started."""


class UnfitNodeError(AsrError):
    """A machine of a cluster that lacks what the work needs; the message says what, and how to give it."""


class ManifestError(AsrError):
    """All problems of manifests, one per line, each beginning with `file:line`.

    Parameters
    ----------
    problems : sequence of str
    summary : sequence of str, optional
        What is shown before them, if there are many.
    """

    def __init__(self, problems: Sequence[str], *, summary: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*summary, *problems]))
        self.problems = list(problems)
        self.summary = list(summary)


class TrainingError(AsrError):
    """A training that cannot continue for a reason outside its settings: the disk is full, a file is missing."""


class RankError(TrainingError):
    """A training over several processes (ranks) that stopped because one of them ended.

    Parameters
    ----------
    message : str
        Names the rank.
    is_reported : bool
        Whether another rank reports it, so that this one has nothing to say.
    is_stuck : bool
        Whether a connection to a machine that no longer answers is still open: the process may not end by itself.
    """

    def __init__(self, message: str, *, is_reported: bool = False, is_stuck: bool = False) -> None:
        super().__init__(message)
        self.is_reported = is_reported
        self.is_stuck = is_stuck


class DivergenceError(TrainingError):
    """A training whose loss or gradients are no longer finite."""


class BundleError(AsrError):
    """A model bundle that cannot be read, is inconsistent, or comes from a newer version."""


class LanguageModelError(_FileError, AsrError):
    """A language model or word list that cannot be read or does not fit, with its path and the reason."""
