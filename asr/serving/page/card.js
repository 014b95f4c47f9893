// A recording with its transcript: progress, playing, correcting, saving.

import { RequestError, saveCorrection, transcribe, transcriptFile } from "./api.js";
import { clock, isDoubtful, placeAt, textOf, wordElements, wordsOf } from "./words.js";

const STEP_SECONDS = 2;
const LEAD_SECONDS = 0.15; // played before a word, so that its beginning is heard
const FINAL_STATUSES = [400, 404, 413, 415]; // the same recording would be refused again
const MOST_TRIES = 20, MOST_WAIT_SECONDS = 60;
const KEYS = document.getElementById("keys"), ANNOUNCED = document.getElementById("announcer");
const isApple = /Mac|iPhone|iPad/.test(navigator.platform);
const READING_KEYS = [["Space", "play, pause"], ["←", "back"], ["→", "forward"], ["N", "next doubtful word"], ["P", "previous"], ["Enter", "correct"]];
const CORRECTING_KEYS = [["Alt Enter", "play from the cursor, pause"], ["Alt ↓", "next doubtful word"], ["Alt ↑", "previous"], ["Esc", "done"]];
let playing = null;

const announce = (text) => { ANNOUNCED.textContent = text; };
const pause = (seconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

export class Card {
  #find;
  #file;
  #name;
  #settings;
  #callbacks;
  #audio = new Audio();
  #address;
  #words = [];
  #elements = [];
  #recognised = "";
  #original = null;
  #duration = 0;
  #now = null;
  #abort = new AbortController();
  #until = Infinity;
  #savedText = null;

  constructor(file, name, settings, callbacks) {
    const made = document.getElementById("card").content.cloneNode(true);
    this.element = made.firstElementChild;
    this.#find = (selector) => this.element.querySelector(selector);
    [this.#file, this.#name, this.#settings, this.#callbacks] = [file, name, settings, callbacks];
    this.#find("h3").textContent = name;
    this.#find("h3").id = `name-${Card.#count}`;
    this.element.setAttribute("aria-labelledby", this.#find("h3").id);
    this.#find(".remove").setAttribute("aria-label", `Remove ${name}`);
    Card.#count++;
    if (settings.language) this.#text.lang = settings.language;
    this.#address = URL.createObjectURL(file);
    this.#audio.preload = "metadata";
    this.#audio.src = this.#address;
    this.#listen();
    this.#say("Waiting.");
  }

  static #count = 0;

  get #text() {
    return this.#find(".text");
  }

  get isCorrecting() {
    return this.element.classList.contains("correcting");
  }

  get isUnsaved() {
    return this.#original !== null && textOf(this.#text) !== (this.#savedText ?? this.#recognised);
  }

  // Have the server recognise it; it resolves in any case.
  async recognise() {
    const progress = this.#find("progress");
    progress.hidden = false;
    this.element.classList.remove("failed");
    for (let tries = 1; !this.#abort.signal.aborted; tries++) {
      try {
        this.show(await this.#ask(progress));
        break;
      } catch (error) {
        if (error.name === "AbortError") break;
        const isBusy = error instanceof RequestError && error.status === 429 && tries < MOST_TRIES;
        if (!isBusy) {
          this.#fail(error);
          break;
        }
        const seconds = Math.min(error.retryAfter ?? 5, MOST_WAIT_SECONDS);
        this.#say(`The server is busy. Next try in ${seconds} s.`);
        await pause(seconds, this.#abort.signal);
      }
    }
    progress.hidden = true;
  }

  #ask(progress) {
    progress.removeAttribute("value");
    this.#say("Sending.");
    return transcribe(this.#file, this.#name, {
      model: this.#settings.model,
      signal: this.#abort.signal,
      onUpload: (share) => {
        if (share < 1) progress.value = share;
        else {
          progress.removeAttribute("value");
          this.#say("Recognising.");
        }
      },
      onText: (text, end) => {
        this.#text.hidden = false;
        this.#text.textContent = text;
        if (Number.isFinite(this.#audio.duration) && end) progress.value = Math.min(1, end / this.#audio.duration);
      },
    });
  }

  #fail({ message, status }) {
    this.element.classList.add("failed");
    this.#say(message);
    if (FINAL_STATUSES.includes(status)) return;
    const again = document.createElement("button");
    again.textContent = "Try again";
    again.addEventListener("click", () => this.#callbacks.onAgain(this));
    this.#find(".status").append(" ", again);
  }

  // Show a transcript: {duration, text, words}.
  show({ duration, text, words }) {
    this.#duration = duration;
    this.#original = { text, words };
    this.#recognised = text;
    this.#find(".player").hidden = false;
    this.#find(".tools").hidden = false;
    this.#find(".seek").max = duration;
    this.#render(text, words);
    const doubtful = words.filter(isDoubtful).length;
    const count = `${words.length.toLocaleString("en")} ${words.length === 1 ? "word" : "words"}`;
    this.#find(".facts").textContent = clock(duration);
    this.#say(doubtful ? `${count}, ${doubtful.toLocaleString("en")} of them doubtful.` : `${count}.`);
    this.#tick();
  }

  #render(text, words) {
    this.#text.hidden = false;
    this.#words = words;
    this.#text.replaceChildren(wordElements(text, words));
    this.#elements = [...this.#text.querySelectorAll(".w")];
    this.#now = null;
    this.#text.setAttribute("aria-label", `Transcript of ${this.#name}`);
  }

  #say(message) {
    this.#find(".status").textContent = message;
  }

  // --- playing

  #listen() {
    const audio = this.#audio, seek = this.#find(".seek");
    this.#find(".play").addEventListener("click", () => this.#toggle());
    this.#find(".speed select").addEventListener("change", (event) => { audio.playbackRate = Number(event.target.value); });
    seek.addEventListener("input", () => this.#seek(Number(seek.value)));
    audio.addEventListener("play", () => {
      if (playing && playing !== this) playing.#audio.pause();
      playing = this;
      this.#showPlaying(true);
      this.#follow();
    });
    audio.addEventListener("pause", () => this.#showPlaying(false));
    audio.addEventListener("seeked", () => this.#tick());
    audio.addEventListener("error", () => {
      this.#find(".player").classList.add("silent");
      this.#find(".play").disabled = seek.disabled = true;
      this.#find(".time").textContent = "This browser cannot play it.";
    });
    this.#text.addEventListener("click", (event) => {
      const element = event.target.closest(".w");
      if (!element || this.isCorrecting || !getSelection().isCollapsed) return;
      this.#point(null);
      this.#playFrom(element);
    });
    this.#text.addEventListener("keydown", (event) => (this.isCorrecting ? this.#correctingKey(event) : this.#readingKey(event)));
    this.#text.addEventListener("input", () => this.#markEdited());
    this.#text.addEventListener("paste", (event) => this.#paste(event));
    this.#text.addEventListener("focus", () => this.#showKeys());
    this.#text.addEventListener("blur", () => { KEYS.hidden = true; });
    this.#find(".correct").addEventListener("click", () => (this.isCorrecting ? this.#endCorrecting() : this.#beginCorrecting()));
    this.#find(".save").addEventListener("click", () => this.#save());
    this.#find(".revert").addEventListener("click", () => this.#revert());
    this.#find(".copy").addEventListener("click", () => this.#copy());
    this.#find(".remove").addEventListener("click", () => this.remove());
    for (const button of this.element.querySelectorAll(".download")) {
      button.setAttribute("aria-label", `Download as ${button.dataset.format}`);
      button.addEventListener("click", () => this.#download(button.dataset.format));
    }
  }

  #showPlaying(isPlaying) {
    this.element.classList.toggle("playing", isPlaying);
    this.#find(".play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  #toggle() {
    if (this.#audio.paused) this.#play();
    else this.#audio.pause();
  }

  #play() {
    // A recording that is removed, or cannot be played, says so by its own event.
    this.#audio.play().catch(() => {});
  }

  #seek(seconds) {
    this.#audio.currentTime = Math.max(0, Math.min(this.#duration || Infinity, seconds));
    this.#tick();
  }

  #playFrom(element) {
    this.#seek(element.word.start - LEAD_SECONDS);
    this.#play();
  }

  #follow() {
    this.#tick();
    if (!this.#audio.paused && !this.#audio.ended) requestAnimationFrame(() => this.#follow());
  }

  #tick() {
    const seconds = this.#audio.currentTime;
    this.#find(".seek").value = seconds;
    this.#find(".seek").setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.#duration)}`);
    if (!this.#find(".play").disabled) this.#find(".time").textContent = `${clock(seconds)} / ${clock(this.#duration)}`;
    // A word that is about to be played is lit.
    const place = placeAt(this.#words, seconds + (this.#audio.paused ? LEAD_SECONDS + 0.01 : LEAD_SECONDS / 2));
    const isOn = place >= 0 && (seconds > 0 || !this.#audio.paused) && seconds < this.#words[place].end + 1;
    const element = isOn ? this.#elements[place] : null;
    if (element === this.#now) return;
    this.#now?.classList.remove("now");
    element?.classList.add("now");
    this.#now = element;
    if (element && !this.#audio.paused) this.#reveal(element);
  }

  // Within the text alone: the page stays where its reader is.
  #reveal(element) {
    const box = this.#text, top = element.offsetTop - box.offsetTop;
    if (top < box.scrollTop || top + element.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = top - box.clientHeight / 3;
    }
  }

  // --- keys

  #showKeys() {
    const isSaving = this.isCorrecting && this.#settings.saves_corrections;
    const keys = this.isCorrecting ? CORRECTING_KEYS : READING_KEYS;
    const all = isSaving ? [...keys, [isApple ? "⌘ S" : "Ctrl S", "save"]] : keys;
    KEYS.replaceChildren(...all.map(([names, meaning]) => {
      const item = document.createElement("span");
      names.split(" ").forEach((name) => {
        const made = document.createElement("kbd");
        made.textContent = name;
        item.append(made, " ");
      });
      item.append(meaning);
      return item;
    }));
    KEYS.hidden = document.activeElement !== this.#text;
  }

  #readingKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act = {
      " ": () => this.#toggle(),
      ArrowLeft: () => this.#seek(this.#audio.currentTime - STEP_SECONDS),
      ArrowRight: () => this.#seek(this.#audio.currentTime + STEP_SECONDS),
      n: () => this.#readDoubtful(1),
      p: () => this.#readDoubtful(-1),
      Enter: () => this.#beginCorrecting(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #correctingKey(event) {
    const isSave = event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey) && !event.altKey;
    let act = null;
    if (isSave) act = () => (this.#settings.saves_corrections ? this.#save() : this.#endCorrecting());
    else if (event.key === "Escape") act = () => this.#endCorrecting();
    else if (event.key === "Enter" && event.altKey) act = () => this.#playAtCaret();
    else if (event.key === "Enter") act = () => {}; // a transcript is one paragraph
    else if (event.key === "ArrowDown" && event.altKey) act = () => this.#selectDoubtful(1);
    else if (event.key === "ArrowUp" && event.altKey) act = () => this.#selectDoubtful(-1);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #doubtful() {
    return [...this.#text.querySelectorAll(".w.doubtful")];
  }

  // The word that keys refer to while the text is read.
  #point(element) {
    this.#text.querySelector(".at")?.classList.remove("at");
    element?.classList.add("at");
  }

  #readDoubtful(direction) {
    const all = this.#doubtful(), at = this.#text.querySelector(".at") ?? this.#now;
    const element = neighbour(all, at, direction);
    if (!element) {
      announce("There is no doubtful word.");
      return;
    }
    this.#point(element);
    this.#playFrom(element);
    this.#reveal(element);
    announce(`Doubtful: ${element.textContent}`);
  }

  #selectDoubtful(direction) {
    const selection = getSelection(), at = this.#caretWord();
    const element = neighbour(this.#doubtful(), at ?? selection.anchorNode, direction);
    if (!element) {
      announce("There is no doubtful word.");
      return;
    }
    selection.selectAllChildren(element);
    this.#reveal(element);
    this.#seek(element.word.start - LEAD_SECONDS);
    announce(`Doubtful: ${element.textContent}`);
  }

  #caretWord() {
    const node = getSelection().anchorNode;
    const element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    const word = element?.closest?.(".w");
    if (word && this.#text.contains(word)) return word;
    return null;
  }

  #playAtCaret() {
    if (!this.#audio.paused) {
      this.#audio.pause();
      return;
    }
    const word = this.#caretWord() ?? lastBefore([...this.#text.querySelectorAll(".w")], getSelection().anchorNode);
    if (word) this.#seek(word.word.start - LEAD_SECONDS);
    this.#play();
  }

  // --- correcting

  #beginCorrecting() {
    const at = this.#text.querySelector(".at") ?? this.#now;
    this.#point(null);
    this.element.classList.add("correcting");
    this.#text.contentEditable = "plaintext-only";
    if (this.#text.contentEditable !== "plaintext-only") this.#text.contentEditable = "true";
    this.#text.spellcheck = true;
    this.#text.setAttribute("role", "textbox");
    this.#text.setAttribute("aria-multiline", "true");
    this.#find(".correct").textContent = "Done";
    this.#text.focus();
    if (at) getSelection().collapse(at.firstChild, 0);
    else getSelection().collapse(this.#text, 0);
    this.#showTools();
    this.#showKeys();
  }

  #endCorrecting() {
    this.#audio.pause();
    this.element.classList.remove("correcting");
    this.#text.removeAttribute("contenteditable");
    this.#text.setAttribute("role", "group");
    this.#text.removeAttribute("aria-multiline");
    this.#find(".correct").textContent = "Correct";
    const edited = new Set(this.#text.querySelectorAll(".edited"));
    if (edited.size || textOf(this.#text) !== textOfWords(this.#words)) this.#rebuild();
    this.#text.focus();
    this.#showTools();
    this.#showKeys();
  }

  // Words anew from the text as it is now.
  #rebuild() {
    const text = textOf(this.#text), words = wordsOf(this.#text);
    this.#render(text, words);
  }

  #markEdited() {
    for (const element of this.#text.querySelectorAll(".w")) {
      const isEdited = element.textContent !== element.word.word;
      element.classList.toggle("edited", isEdited);
      element.classList.toggle("doubtful", !isEdited && isDoubtful(element.word));
    }
    this.#showTools();
  }

  #paste(event) {
    event.preventDefault();
    const text = event.clipboardData.getData("text/plain").replace(/\s+/gu, " ");
    document.execCommand("insertText", false, text); // the only way that the browser's own Undo knows
  }

  #showTools() {
    const isChanged = this.#original !== null && textOf(this.#text) !== this.#recognised;
    this.#find(".revert").hidden = !isChanged;
    this.#find(".save").hidden = !(this.#settings.saves_corrections && (isChanged || this.isCorrecting || this.#savedText !== null));
    this.#find(".save").disabled = this.#savedText !== null && textOf(this.#text) === this.#savedText;
    this.#find(".save").textContent = this.#find(".save").disabled ? "Saved" : "Save";
    this.#callbacks.onChange();
  }

  #revert() {
    this.#render(this.#original.text, this.#original.words);
    this.#showTools();
    this.#text.focus();
  }

  async #save() {
    const text = textOf(this.#text), button = this.#find(".save");
    if (!text) {
      this.#say("There is nothing to save: the text is empty.");
      return;
    }
    if (this.isCorrecting) this.#endCorrecting();
    button.disabled = true;
    this.element.classList.remove("failed");
    this.#say("Saving: the text is aligned with the sound.");
    try {
      const answer = await saveCorrection(this.#file, this.#name, { text, recognised: this.#recognised });
      this.#savedText = text;
      if (answer.words.length && textOf(this.#text) === text && !this.isCorrecting) {
        this.#render(text, answer.words.map(({ word, start, end }) => ({ word, start, end })));
      }
      this.#say(savedMessage(answer));
      this.#callbacks.onSaved(answer.summary);
    } catch (error) {
      this.element.classList.add("failed");
      this.#say(`Not saved. ${error.message}`);
    }
    this.#showTools();
  }

  // --- what leaves the page

  #transcript() {
    if (textOf(this.#text) === textOfWords(this.#words)) {
      return { text: textOf(this.#text), duration: this.#duration, words: this.#words };
    }
    return { text: textOf(this.#text), duration: this.#duration, words: wordsOf(this.#text) };
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(textOf(this.#text));
      this.#confirm(this.#find(".copy"), "Copied");
    } catch { // without https, or not allowed: the text is selected, to be copied by hand
      getSelection().selectAllChildren(this.#text);
      this.#say("The browser does not let this page copy: the text is selected.");
    }
  }

  #confirm(button, message) {
    const before = button.textContent;
    button.textContent = message;
    announce(message);
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  async #download(format) {
    let content;
    try {
      const { text, duration, words } = this.#transcript();
      content = await transcriptFile(format, { text, duration, words: words.map(({ word, start, end }) => ({ word, start, end })) });
    } catch (error) {
      this.#say(`Not downloaded. ${error.message}`);
      return;
    }
    const link = document.createElement("a");
    const address = URL.createObjectURL(new Blob([content], { type: "text/plain;charset=utf-8" }));
    link.href = address;
    link.download = `${this.#name.replace(/\.[^.]*$/, "") || "transcript"}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  remove() {
    if (this.isUnsaved && !confirm(`The corrections of ${this.#name} are not saved. Remove it?`)) return;
    this.#abort.abort();
    this.#audio.pause();
    this.#audio.removeAttribute("src");
    URL.revokeObjectURL(this.#address);
    this.#callbacks.onRemove(this);
  }
}

const textOfWords = (words) => words.map((one) => one.word).join(" ");

// The next of some elements after a place in the document, or the one before; around the end.
function neighbour(elements, at, direction) {
  if (!elements.length) return null;
  const isAfter = (element) => !at || (at.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING && !at.contains(element));
  const isBefore = (element) => at && at.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING && !element.contains(at);
  if (direction > 0) return elements.find(isAfter) ?? elements[0];
  return elements.findLast(isBefore) ?? elements.at(-1);
}

const lastBefore = (elements, at) => at && elements.findLast((one) => at.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_PRECEDING);

function savedMessage({ manifest, utterances, problem }) {
  if (!manifest) return `Saved, but not used for training: the text does not fit the recording (${problem ?? "it is long, and cannot be cut"}).`;
  return utterances > 1 ? `Saved as ${utterances} utterances in ${manifest}.` : `Saved in ${manifest}.`;
}
