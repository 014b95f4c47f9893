// Transcripts as files: text, subtitles, JSON, the same as asr/writers makes them.

const LINE_CHARACTERS = 42, LINES = 2, SHORTEST_SECONDS = 1, LONGEST_SECONDS = 7, CHARACTERS_A_SECOND = 20;
const GAP_SECONDS = 0.08, LONGEST_PAUSE = 2, COST = 1, PAUSE_GAIN = 2, TOO_SHORT_COST = 0.5, TOO_FAST_COST = 0.05;
// Unicode Standard Annex 11, East Asian Width: wide and full-width characters.
const WIDE = /[\u1100-\u115f\u231a\u231b\u2329\u232a\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b16f}\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;
// What players of SubRip files take for markup or a time, and characters that look the same.
const SRT_MARKUP = /<(?=.*>)|\{(?=.*\})|\\(?=[Nnh])|(?:(?<=\d:\d)|(?<=\d:\d\d)):(?=\d{1,2}[.,]\d)/gs;
const LOOKALIKES = { "<": "\uff1c", "{": "\uff5b", "\\": "\uff3c", ":": "\uff1a" };

const thousandth = (seconds) => Math.round(seconds * 1000) / 1000;
const oneLine = (text) => text.toWellFormed().replace(/\p{Cc}/gu, " ").split(/\s+/u).filter(Boolean).join(" ");
export const displayWidth = (text) => [...text].reduce((sum, one) => sum + (NO_WIDTH.test(one) ? 0 : WIDE.test(one) ? 2 : 1), 0);

// What precedes each word in a text: a space, or nothing.
function spacesBefore(text, words) {
  let position = 0;
  return words.map((word, number) => {
    let start = position;
    while (start < text.length && /\s/u.test(text[start])) start++;
    const isFound = word !== "" && text.startsWith(word, start);
    const space = !number || (isFound && start === position) ? "" : " ";
    if (isFound) position = start + word.length;
    return space;
  });
}

// Words in one line: what precedes each, and the columns where it starts and ends.
class Row {
  constructor(words, before) {
    [this.words, this.before] = [words, before];
    let column = 0;
    this.ends = words.map(({ word }, place) => (column += displayWidth(word) + displayWidth(before[place])));
    this.starts = this.ends.map((end, place) => end - displayWidth(words[place].word));
  }

  text(first, last) {
    let text = this.words[first].word;
    for (let place = first + 1; place < last; place++) text += this.before[place] + this.words[place].word;
    return text;
  }

  width(first, last) {
    return this.ends[last - 1] - this.starts[first];
  }

  // Index after the last word that fits into a subtitle that starts with a word.
  room(first) {
    for (let line = 0; line < LINES && first < this.words.length; line++) {
      const limit = this.starts[first] + LINE_CHARACTERS;
      while (first < this.words.length && this.ends[first] <= limit) first++;
    }
    return first;
  }

  // One line if the words fit, else two of similar width.
  lines(first, last) {
    if (this.width(first, last) <= LINE_CHARACTERS || last - first === 1) return [this.text(first, last)];
    let best = first + 1, least = Infinity;
    for (let cut = first + 1; cut < last; cut++) {
      const width = Math.max(this.width(first, cut), this.width(cut, last));
      if (width < least) [best, least] = [cut, width];
    }
    return [this.text(first, best), this.text(best, last)];
  }
}

// The ends of the division of lowest cost, by dynamic programming over the position of the last cut.
function bestEnds(row) {
  const { words } = row, costs = [0, ...words.map(() => Infinity)], previous = new Array(words.length + 1).fill(0);
  const rooms = words.map((_, first) => row.room(first));
  for (let end = 1; end <= words.length; end++) {
    const until = words[end - 1].end, pause = end < words.length ? words[end].start - until : LONGEST_PAUSE;
    const gain = PAUSE_GAIN * Math.min(Math.max(pause, 0), 1);
    for (let start = end - 1; start >= 0; start--) {
      const seconds = until - words[start].start;
      const isTooLong = start < end - 1 && (seconds > LONGEST_SECONDS || words[start + 1].start - words[start].end >= LONGEST_PAUSE || end > rooms[start]);
      if (isTooLong) break;
      const long = Math.max(seconds, SHORTEST_SECONDS), tooFast = Math.max(0, row.width(start, end) / long - CHARACTERS_A_SECOND);
      const cost = costs[start] + COST + TOO_SHORT_COST * (long - Math.max(seconds, 0.1)) + TOO_FAST_COST * tooFast - gain;
      if (cost < costs[end]) [costs[end], previous[end]] = [cost, start];
    }
  }
  const ends = [];
  for (let end = words.length; end; end = previous[end]) ends.push(end);
  return ends.reverse();
}

// Subtitles of a transcript: {start, end, lines, text}, as asr/text/segments.py cuts them.
export function cutCues({ text, words, duration }) {
  if (!words.length) return [];
  const row = new Row(words, spacesBefore(text, words.map((one) => one.word))), ends = bestEnds(row), cues = [];
  ends.forEach((last, place) => {
    const first = place ? ends[place - 1] : 0, { start } = words[first];
    const isLast = last === words.length, following = isLast ? (duration || Infinity) + GAP_SECONDS : words[last].start, lines = row.lines(first, last);
    const wanted = Math.max(SHORTEST_SECONDS, lines.reduce((sum, line) => sum + displayWidth(line), 0) / CHARACTERS_A_SECOND);
    const until = Math.max(words[last - 1].end, Math.min(start + wanted, following - GAP_SECONDS));
    const end = isLast ? until : Math.min(until, Math.max(following, words[last - 1].start));
    const shown = lines.map(oneLine).filter(Boolean);
    if (shown.length) cues.push({ start: thousandth(start), end: thousandth(end), lines: shown, text: oneLine(row.text(first, last)) });
  });
  return cues;
}

function clock(seconds, point) {
  const all = Math.round(seconds * 1000), pad = (number, digits = 2) => String(number).padStart(digits, "0");
  const minutes = Math.floor(all / 60000), rest = all % 60000;
  return `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}:${pad(Math.floor(rest / 1000))}${point}${pad(rest % 1000, 3)}`;
}

const cueTexts = (transcript, point, escape) =>
  cutCues(transcript).map(({ start, end, lines }, place) => `${place + 1}\n${clock(start, point)} --> ${clock(end, point)}\n${escape(lines.join("\n"))}\n`).join("\n");

const WRITERS = {
  txt: ({ text }) => `${oneLine(text)}\n`,
  srt: (transcript) => cueTexts(transcript, ",", (text) => text.replaceAll("-->", "->").replace(SRT_MARKUP, (one) => LOOKALIKES[one])),
  vtt: (transcript) => `WEBVTT\n\n${cueTexts(transcript, ".", (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;"))}`,
  json: (transcript) => {
    const segments = cutCues(transcript).map(({ start, end, text }) => ({ start, end, text }));
    const words = transcript.words.map(({ word, ...rest }) => ({ text: word, ...rest }));
    return `${JSON.stringify({ duration: thousandth(transcript.duration), text: transcript.text, segments, words }, null, 2)}\n`;
  },
};

// A transcript {text, duration, words} as the content of a file.
export const written = (format, transcript) => WRITERS[format](transcript);
