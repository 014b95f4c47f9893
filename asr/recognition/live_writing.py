"""Final texts of live recognition as people write them: capitals, punctuation and numbers."""

from __future__ import annotations

from dataclasses import replace

from asr.punctuation.tagger import CONTEXT
from asr.punctuation.text_writer import TextWriter, pauses_between, timed
from asr.punctuation.writing import numbers_behind, write_words
from asr.recognition.live_events import Final, WrittenText
from asr.text.transcript import Word
from asr.text.words import spaces_before

# The pause behind a segment is longer than those within sentences, or the segment would go on.
_LEAST_PAUSE = 0.45


class LiveWriter:
    """Writes the segments of one stream, in their order.

    The words of earlier segments are the context of the next one. What was written stays. A segment does not have to
    end a sentence: the next one then goes on in lower case.

    Parameters
    ----------
    writer : TextWriter
    """

    def __init__(self, writer: TextWriter) -> None:
        self._writer = writer
        self._context: tuple[Word, ...] = ()
        self._starts_sentence = True

    def write(self, final: Final) -> Final:
        """The event with its written text attached.

        Parameters
        ----------
        final : Final
            The next segment of the stream.
        """
        if not final.words:
            return final
        words = (*self._context, *final.words)
        lower = [word.text.lower() for word in words]
        pauses = pauses_between(words)
        pauses[-1] = max(_LEAST_PAUSE, final.end - final.words[-1].end)
        tags = self._writer.tagger.tag(lower, pauses)
        first = len(self._context)
        tokens = write_words(
            lower[first:],
            tags.behind(first),
            self._writer.tagger.header.spellings,
            numbers=numbers_behind(self._writer.numbers(lower), first),
            names={place - first: form for place, form in self._writer.names.places(lower).items()},
            starts_sentence=self._starts_sentence,
            ends_text=False,
        )
        self._context, self._starts_sentence = words[-CONTEXT:], tokens[-1].ends_sentence
        spaces = spaces_before(final.text, [word.text for word in final.words])
        text = "".join(spaces[one.first] + one.text for one in tokens)
        return replace(final, written=WrittenText(text, timed(tokens, final.words)))
