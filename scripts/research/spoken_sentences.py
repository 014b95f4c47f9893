"""Makes sentences as they are spoken of written dialogue: a sentence a line, numbers, times and prices in words.

    python scripts/research/spoken_sentences.py spoken.txt.xz spoken-sentences.txt.xz
    python scripts/research/spoken_sentences.py podcasts.txt.xz podcast-sentences.txt.xz --training-part

What a language model is trained on must be written as people say it: "$25.50 at 11:30" becomes "twenty five dollars and
fifty cents at eleven thirty". English only. Sentences with anything else that has digits in it are left out; with
`--training-part`, so are the documents that `asr train-text` holds out.
"""

from __future__ import annotations

import argparse
import lzma
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from asr.files import open_decompressed
from asr.punctuation.written_tags import split_documents
from asr.settings.tagger import TextBatchConfig
from asr.training.held_out import TRAIN, document_parts

HELD_OUT = TextBatchConfig().held_out

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = [(1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred")]
_IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_TITLES = re.compile(r"\b(mr|mrs|ms|dr|st|jr|sr|vs)\.", re.IGNORECASE)
# "I am" is none.
_HALVES = re.compile(r"\b([ap])(?:\.\s?m\b\.?|(?:(?<=p)|(?<=\d\s[ap]))\s?m\b)", re.IGNORECASE)
_ENDS = re.compile(r"(?<=[.?!])[\"')\]]*\s+|(?<=[a-z][.?!])(?=[A-Z])|\s*[;:]\s+|\s+[-\u2013\u2014]+\s+|\n")
_GLUED = re.compile(r"(?<=\d)([ap])m\b|(?<=\d)(?=[ap]\.m\.)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?P<sign>[$#+\u00a3\u20ac])?(?P<number>\d+(?:,\d{3})*)(?:(?P<colon>:)(?P<minutes>[0-5]\d)\b|\.(?P<decimals>\d+))?"
    r"(?P<ordinal>st|nd|rd|th)?(?P<percent>\s?%)?",
    re.IGNORECASE,
)
_PHONE = re.compile(r"\+?\d?[-. ]?\(?\b\d{3}\)?[-. ]\d{3}[-. ]\d{4}\b|\b\d{3}-\d{4}\b")


def spell_number(number: int) -> str:
    """A whole number in words: 1234 is "one thousand two hundred thirty four"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return f"{_TENS[tens]} {_ONES[ones]}" if ones else _TENS[tens]
    scale, name = next((scale, name) for scale, name in _SCALES if number >= scale)
    many, rest = divmod(number, scale)
    return f"{spell_number(many)} {name}" + (f" {spell_number(rest)}" if rest else "")


def spell_ordinal(number: int) -> str:
    """A number as an ordinal: 21 is "twenty first"."""
    *before, last = spell_number(number).split()
    if last in _IRREGULAR_ORDINALS:
        last = _IRREGULAR_ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, last])


def spell_digits(digits: str) -> str:
    """One digit after the other, as in telephone numbers: 0 is "oh"."""
    return " ".join("oh" if digit == "0" else _ONES[int(digit)] for digit in digits if digit.isdigit())


def spell_pair(number: int) -> str:
    """A number of four digits as in years and house numbers: 1965 is "nineteen sixty five"."""
    first, last = divmod(number, 100)
    if last == 0:
        return f"{spell_number(first)} hundred"
    return f"{spell_number(first)} {'oh ' if last < 10 else ''}{spell_number(last)}"


def spell_minutes(hours: int, minutes: int) -> str:
    """A time of day: 9:05 is "nine oh five", 9:00 "nine"."""
    if minutes == 0:
        return spell_number(hours)
    return f"{spell_number(hours)} {'oh ' if minutes < 10 else ''}{spell_number(minutes)}"


def _spell(match: re.Match[str]) -> str:
    text = match["number"]
    number, decimals, sign = int(text.replace(",", "")), match["decimals"], match["sign"]
    if number >= 10**12:
        return f" {spell_digits(text)} "
    if match["colon"] and not sign:
        return f" {spell_minutes(number, int(match['minutes']))} "
    if sign in {"$", "\u00a3", "\u20ac"}:
        name = {"$": "dollar", "\u00a3": "pound", "\u20ac": "euro"}[sign]
        cents = int(decimals[:2].ljust(2, "0")) if decimals else 0
        return f" {spell_number(number)} {name}{'' if number == 1 else 's'}" + (
            f" and {spell_number(cents)} cent{'' if cents == 1 else 's'} " if cents else " "
        )
    if match["ordinal"]:
        return f" {spell_ordinal(number)} "
    percent = " percent" if match["percent"] else ""
    if decimals:
        return f" {spell_number(number)} point {' '.join(_ONES[int(digit)] for digit in decimals)}{percent} "
    if "," not in text and (len(text) > 4 or (text.startswith("0") and len(text) > 1)):
        return f" {spell_digits(text)} "  # codes and house numbers
    if "," not in text and 1100 <= number < 10_000 and number % 1000 >= 100:
        return f" {spell_pair(number)}{percent} "
    if "," not in text and 2010 <= number < 2030:
        return f" {spell_pair(number)}{percent} "
    if sign == "#":
        return f" number {spell_number(number)} "
    return f" {spell_number(number)}{percent} "


def spoken_sentences(text: str) -> Iterator[str]:
    """The sentences of a written text as they are spoken.

    Examples
    --------
    >>> list(spoken_sentences("It's $5.50. See you on March 3rd at 9:05 a.m.!"))
    ["It's five dollars and fifty cents.", 'See you on March third at nine oh five a m!']
    """
    text = _TITLES.sub(r"\1", text.replace("&", " and "))
    text = _GLUED.sub(lambda match: f" {match[0]}", text)
    text = _HALVES.sub(r"\1 m ", text)
    text = _PHONE.sub(lambda match: f" {spell_digits(match[0])} ", text)
    for sentence in _ENDS.split(text):
        spoken = " ".join(_NUMBER.sub(_spell, sentence.replace("-", " ").replace("/", " ")).split())
        spoken = re.sub(r"\s+(?=[.,?!])", "", spoken)
        if spoken and not re.search(r"\d", spoken):
            yield spoken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="written dialogue, a turn a line, packed or not")
    parser.add_argument("output", type=Path, help="file to write, packed by xz")
    parser.add_argument("--training-part", action="store_true", help="without the documents that are held out")
    arguments = parser.parse_args()
    parts = document_parts([arguments.text], HELD_OUT) if arguments.training_part else None
    count = 0
    with open(arguments.text, "rb") as raw, lzma.open(arguments.output, "wt", encoding="utf-8") as output:
        lines = (line.decode("utf-8") for line in open_decompressed(raw))
        for number, document in enumerate(split_documents(lines)):
            if parts and parts[number] != TRAIN:
                continue
            for sentence in (one for line in document for one in spoken_sentences(line)):
                output.write(sentence + "\n")
                count += 1
    print(f"{arguments.output}: {count:,} sentences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
