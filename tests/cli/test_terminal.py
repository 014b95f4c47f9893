"""Text that grows in a terminal, on a screen that is simulated here."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.cli.terminal import GrowingText, wrap
from asr.text.segments import display_width

_PARTS = re.compile(r"\x1b\[(\d*)([A-Za-z])|(\r)|(\n)|([^\x1b])", re.DOTALL)


class Screen(io.StringIO):
    """A terminal that knows the escape sequences of `GrowingText`. Its lines are cells with their style."""

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        super().__init__()
        self.columns, self.lines = columns, lines
        self.rows: list[list[tuple[str, bool]]] = [[]]
        self.row = self.column = self.top = 0
        self.dim = False

    def size(self) -> tuple[int, int]:
        return self.columns, self.lines

    def write(self, content: str) -> int:
        for count, command, returns, feeds, character in (match.groups() for match in _PARTS.finditer(content)):
            if command == "A":
                self.row = max(self.top, self.row - int(count))
            elif command == "J":
                self.rows[self.row] = self.rows[self.row][: self.column]
                del self.rows[self.row + 1 :]
            elif command == "m":
                self.dim = count == "2"
            elif returns:
                self.column = 0
            elif feeds:
                self._down()
            else:
                self._put(character)
        return len(content)

    def _put(self, character: str) -> None:
        width = display_width(character)
        if self.column + width > self.columns:
            self._down()
        row = self.rows[self.row]
        if not width:
            row[-1] = row[-1][0] + character, row[-1][1]
            return
        assert len(row) == self.column, "text is only written at the end of a row"
        row += [(character, self.dim)] + [("", self.dim)] * (width - 1)
        self.column += width

    def _down(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.rows):
            self.rows.append([])
        self.top = max(self.top, self.row - self.lines + 1)

    def resize(self, columns: int) -> None:
        """Wraps rows that are too long for the new width, as terminals do."""
        rows = []
        for number, row in enumerate(self.rows):
            pieces = [row[start : start + columns] for start in range(0, len(row), columns)] or [[]]
            rows += pieces
            if number == self.row:
                self.row, self.column = len(rows) - 1, len(pieces[-1])
        self.rows, self.columns = rows, columns

    @property
    def text(self) -> list[str]:
        return ["".join(cell for cell, _ in row) for row in self.rows]

    @property
    def dim_text(self) -> str:
        return "".join(cell for row in self.rows for cell, dim in row if dim)


@pytest.fixture
def screen():
    return Screen()


def test_partial_text_is_dim_beyond_its_settled_beginning_and_final_text_stays(screen):
    text = GrowingText(screen, screen.size)
    text.show("one two")
    assert (screen.text, screen.dim_text) == (["one two"], "one two")
    text.show("one two three", settled=7)
    assert (screen.text, screen.dim_text) == (["one two three"], " three")
    text.finish("one too three")
    text.show("four")
    assert (screen.text, screen.dim_text) == (["one too three", "four"], "four")
    text.show("")
    assert screen.text == ["one too three", ""]


def test_long_text_is_cut_between_words_and_replaced_whole(screen):
    text = GrowingText(screen, screen.size)
    words = [f"word{number}" for number in range(30)]
    for count in (*range(1, 30), 3, 25, 1):
        text.show(" ".join(words[:count]))
        assert " ".join(screen.text).split() == words[:count]
        assert all(len(row) < screen.columns for row in screen.text)
    text.finish(" ".join(words))
    assert " ".join(screen.text).split() == words
    assert screen.dim_text == ""


def test_text_higher_than_the_screen_shows_its_end_and_is_replaced_whole():
    screen = Screen(columns=11, lines=3)
    text = GrowingText(screen, screen.size)
    words = [f"w{number:08}" for number in range(20)]
    for count in range(1, 21):
        text.show(" ".join(words[:count]))
        assert screen.text == words[max(0, count - 2) : count]
    text.finish(" ".join(words))
    assert screen.text == [*words, ""]


@pytest.mark.parametrize("columns", [7, 13, 23, 39, 60])
def test_a_window_that_is_resized_keeps_the_lines_above_and_no_remains(columns):
    screen = Screen(lines=40)
    text = GrowingText(screen, screen.size)
    text.finish("above")
    text.show("some words that need more than one row of this screen, which has forty columns")
    screen.resize(columns)
    text.show("few words")
    assert " ".join(screen.text).split() == ["above", "few", "words"]
    text.finish("few words indeed")
    assert " ".join(screen.text).split() == ["above", "few", "words", "indeed"]


def test_a_message_is_written_between_the_lines_that_stay_and_the_text_that_grows(screen):
    text = GrowingText(screen, screen.size)
    text.finish("above")
    text.show("growing")
    text.hide()
    screen.write("warning: a message\n")
    text.redraw()
    text.show("growing text")
    assert screen.text == ["above", "warning: a message", "growing text"]


def test_control_characters_reach_no_terminal(screen):
    GrowingText(screen, screen.size).finish("a\x1b[2Jb\tc\nd\x9be")
    assert screen.text == ["a [2Jb c d e", ""]


TEXT = st.lists(st.sampled_from([*"ab cd 漢字かな é ", "e\u0301", "\U0001f600"]), max_size=60).map("".join)


@given(st.lists(TEXT, min_size=1, max_size=6), st.integers(2, 30), st.integers(1, 6))
def test_any_text_is_replaced_by_any_other_on_any_screen(texts, columns, lines):
    screen = Screen(columns, lines)
    text = GrowingText(screen, screen.size)
    text.finish("top")
    above = screen.text[:-1]
    for one in texts:
        text.show(one)
        assert screen.text[: len(above)] == above
    text.finish(texts[-1])
    expected = "".join(texts[-1].split())
    assert "".join("".join(screen.text[len(above) :]).split()) == expected


@given(TEXT, st.integers(1, 20))
def test_rows_hold_the_whole_text_and_are_no_wider_than_the_window(text, columns):
    rows = wrap(text, columns)
    assert "".join(text[start:end] for start, end in rows).replace(" ", "") == "".join(text.split())
    for start, end in rows:
        assert display_width(text[start:end]) <= columns or end - start == 1 or columns == 1
