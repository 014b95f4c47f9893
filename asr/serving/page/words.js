// A transcript as words with times in the page, and back: also after its text was changed by hand.

// The probability of being right below which a word is marked.
export const DOUBTFUL = 0.6;

export const isDoubtful = (word) => word.confidence !== undefined && word.confidence < DOUBTFUL;

// The words as elements, with what stands between them in the text. Texts only ever become text nodes.
export function wordElements(text, words) {
  const all = document.createDocumentFragment();
  let position = 0;
  for (const word of words) {
    const found = text.indexOf(word.word, position);
    const gap = found < 0 ? " " : text.slice(position, found);
    if (gap && all.hasChildNodes()) all.append(gap);
    position = found < 0 ? position : found + word.word.length;
    const element = document.createElement("span");
    element.className = isDoubtful(word) ? "w doubtful" : "w";
    element.textContent = word.word;
    element.word = word;
    element.isGlued = !gap && all.hasChildNodes(); // in a script without spaces
    all.append(element);
  }
  return all;
}

// The text of an element that was edited.
export const textOf = (element) => element.textContent.replace(/\s+/gu, " ").trim();

// Its words. One that is unchanged keeps its time; what is new is put between its neighbours.
export function wordsOf(element) {
  const words = [];
  let token = null;
  const finish = () => {
    if (token) words.push(token);
    token = null;
  };
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let before = null;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const owner = node.parentElement.closest(".w");
    if (owner?.isGlued && owner !== before) finish();
    before = owner;
    const share = (offset) => (owner ? owner.word.start + (owner.word.end - owner.word.start) * (offset / node.length) : null);
    for (let offset = 0; offset < node.length; ) {
      const character = String.fromCodePoint(node.data.codePointAt(offset));
      if (/\s/u.test(character)) finish();
      else {
        token ??= { word: "", start: null, end: null };
        token.word += character;
        if (owner) {
          token.start ??= share(offset);
          token.end = share(offset + character.length);
          token.owner ??= owner;
        }
      }
      offset += character.length;
    }
  }
  finish();
  for (const one of words) {
    if (one.owner?.word.word === one.word && one.owner.word.confidence !== undefined) one.confidence = one.owner.word.confidence;
    delete one.owner;
  }
  return placed(words);
}

// Words without a time share the time between those that have one.
function placed(words) {
  for (let first = 0; first < words.length; first++) {
    if (words[first].start !== null) continue;
    let next = first;
    while (next < words.length && words[next].start === null) next++;
    const from = first ? words[first - 1].end : Math.max(0, (words[next]?.start ?? 0) - 0.3 * (next - first));
    const to = Math.max(from, words[next]?.start ?? from + 0.3 * (next - first));
    for (let place = first; place < next; place++) {
      words[place].start = from + ((to - from) * (place - first)) / (next - first);
      words[place].end = from + ((to - from) * (place - first + 1)) / (next - first);
    }
  }
  return words;
}

// The place of the word that is spoken at a second: the last one that has begun; -1 before the first.
export function placeAt(words, seconds) {
  let low = 0, high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export const clock = (seconds) => {
  const whole = Math.floor(seconds), pad = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
};
