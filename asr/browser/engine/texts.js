// Alphabets and texts: the words of a text, and texts of symbols (asr/text/alphabet.py, words.py).

const WORD_START = "\u2581";
// Scripts without spaces between words, as in asr/text/words.py: first and last code points.
const UNSPACED = [
  [0x0e00, 0x0fff], [0x1000, 0x109f], [0x1780, 0x17ff], [0x1950, 0x19ff], [0x1a20, 0x1aaf], [0x1b00, 0x1b7f], [0x2e80, 0x2fdf],
  [0x3005, 0x3007], [0x3021, 0x3029], [0x3031, 0x30ff], [0x3100, 0x312f], [0x31a0, 0x31ff], [0x3400, 0x4dbf], [0x4e00, 0xa4cf],
  [0xa980, 0xa9ff], [0xaa60, 0xaadf], [0xf900, 0xfaff], [0xff66, 0xff9f], [0x1aff0, 0x1b16f], [0x20000, 0x3ffff],
];
const DEPENDENT = "\u0e33\u0eb3", JOINERS = "\u200c\u200d";
// The marks of Unicode's combining class 9, which join the next character to theirs.
const VIRAMAS =
  "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84\u1039\u103a\u1714\u1715\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\u2d7f\ua806\ua82c\ua8c4\ua953\ua9c0\uaaf6\uabed";

const isUnspaced = (character) => {
  const code = character.codePointAt(0);
  return UNSPACED.some(([first, last]) => code >= first && code <= last);
};
const isSpace = (character) => /\s/u.test(character);

export class Alphabet {
  // `symbols` from number 1 on; pieces of words where `pieces` is true.
  constructor({ symbols, pieces = false }) {
    this.symbols = [...symbols];
    this.size = this.symbols.length + 1;
    this.isPieces = pieces;
    const isSpaced = pieces ? this.symbols.some((one) => one.startsWith(WORD_START)) : this.symbols.includes(" ");
    this.separator = isSpaced ? " " : "";
    this.separatorNumber = pieces ? null : this.symbols.indexOf(" ") + 1 || null;
    this.wordStarts = this.symbols.map((one) => pieces && one.startsWith(WORD_START));
  }

  // The characters of some symbols, and for each of them which of the symbols wrote it.
  spell(numbers) {
    const characters = [], owners = [];
    numbers.forEach((number, place) => {
      for (const one of this.symbols[number - 1]) {
        const isMark = this.isPieces && one === WORD_START;
        if (isMark && (!characters.length || characters.at(-1) === " ")) continue;
        characters.push(isMark ? " " : one);
        owners.push(place);
      }
    });
    if (this.isPieces && characters.at(-1) === " ") {
      characters.pop();
      owners.pop();
    }
    return { characters, owners };
  }

  // Where the words of a text begin and end, in characters.
  words(characters) {
    const spans = [];
    let start = null, isAlone = false;
    for (let place = 0; place < characters.length; place++) {
      const character = characters[place];
      if (isSpace(character)) {
        if (start !== null) spans.push([start, place]);
        start = null;
        continue;
      }
      const unspaced = !this.separator || isUnspaced(character);
      if (start !== null && (unspaced || isAlone) && begins(character, characters[place - 1])) {
        spans.push([start, place]);
        start = null;
      }
      if (start === null) [start, isAlone] = [place, unspaced];
    }
    if (start !== null) spans.push([start, characters.length]);
    return spans;
  }

  // Texts one behind the other, with single separators between those that are not empty.
  join(texts) {
    if (!this.separator) return texts.join("");
    return texts.flatMap((text) => text.split(this.separator)).filter(Boolean).join(this.separator);
  }
}

// Whether a character begins a word: marks and punctuation belong to the character before them.
function begins(character, before) {
  if (DEPENDENT.includes(character) || JOINERS.includes(before) || VIRAMAS.includes(before)) return false;
  return /[\p{L}\p{N}]/u.test(character);
}
