"""Decides where a segment of live speech ends."""

from __future__ import annotations

from collections.abc import Callable

from asr.settings.live import EndpointConfig

# In a segment that is too long, the pause that ends it gets shorter, down to none after ten seconds.
_SHORT_PAUSE_SECONDS, _PATIENCE_SECONDS = 0.3, 10.0


class Endpointer:
    """The rules of `EndpointConfig`, applied to the best text of a segment so far.

    Parameters
    ----------
    settings : EndpointConfig
    end_log_prob : callable
        Returns the natural log-probability of a sentence's end after a text, or None if it is unknown.

    Notes
    -----
    Source: the rules of Kaldi's `OnlineEndpointConfig` (D. Povey et al., "The Kaldi Speech Recognition Toolkit", ASRU
    2011): a long silence, a shorter one where the end of a sentence is likely, and a limit of length.
    """

    def __init__(self, settings: EndpointConfig, end_log_prob: Callable[[str], float | None]) -> None:
        self._settings, self._end_log_prob = settings, end_log_prob
        self._known: tuple[str, bool] = ("", False)

    def ends(self, text: str, *, silence: float, length: float) -> bool:
        """Whether the segment ends now.

        Parameters
        ----------
        text : str
            The best text so far, not empty.
        silence : float
            Seconds since its last symbol.
        length : float
            Seconds since its first symbol.
        """
        settings = self._settings
        if silence >= settings.silence_seconds:
            return True
        if silence >= settings.sentence_end_seconds and self._is_sentence(text):
            return True
        too_long = length - settings.longest_seconds
        return too_long >= 0 and silence >= _SHORT_PAUSE_SECONDS * (1 - too_long / _PATIENCE_SECONDS)

    def _is_sentence(self, text: str) -> bool:
        if self._known[0] != text:
            end = self._end_log_prob(text)
            self._known = text, end is not None and end >= self._settings.sentence_end_log_prob
        return self._known[1]
