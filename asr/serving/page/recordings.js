// The recordings of the page: files that are chosen or dropped, their cards, and the order in which they are recognised.

import { Card } from "./card.js";

const find = (id) => document.getElementById(id);

export class Recordings {
  #cards = [];
  #queue = [];
  #isWorking = false;
  #options;

  // `settings()` are those of cards; `isOpen()` says whether files are taken now.
  constructor(options) {
    this.#options = { onSaved: () => {}, onRecognised: () => {}, ...options };
    find("files").addEventListener("change", (event) => {
      this.addFiles(event.target.files);
      event.target.value = "";
    });
    this.#listenForDrops();
  }

  get cards() {
    return this.#cards;
  }

  #add(file, name) {
    const card = new Card(file, name, this.#options.settings(), {
      onAgain: (one) => this.again(one), onRemove: (one) => this.#remove(one), onSaved: this.#options.onSaved, onChange: () => {},
    });
    this.#cards.unshift(card);
    find("cards").prepend(card.element);
    find("transcripts").hidden = false;
    return card;
  }

  addFiles(files) {
    // The first of several is at the top, and is the first to be recognised.
    for (const card of [...files].reverse().map((file) => this.#add(file, file.name)).reverse()) this.#queue.push(card);
    this.work();
  }

  addSpoken(file, name, transcript) {
    const card = this.#add(file, name);
    if (transcript) card.show(transcript);
    else this.again(card);
  }

  again(card) {
    this.#queue.push(card);
    this.work();
  }

  #remove(card) {
    card.element.remove();
    this.#cards.splice(this.#cards.indexOf(card), 1);
    if (this.#queue.includes(card)) this.#queue.splice(this.#queue.indexOf(card), 1);
    find("transcripts").hidden = !this.#cards.length;
    find("files").focus();
  }

  // One after the other: a server shares its time among its users, not among the files of one.
  async work() {
    if (this.#isWorking || !this.#options.isOpen()) return;
    this.#isWorking = true;
    while (this.#queue.length) {
      const card = this.#queue.shift();
      await card.recognise();
      this.#options.onRecognised(card);
    }
    this.#isWorking = false;
  }

  #listenForDrops() {
    let depth = 0;
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files") && this.#options.isOpen();
    addEventListener("dragenter", (event) => {
      if (!hasFiles(event)) return;
      depth++;
      document.body.classList.add("dropping");
    });
    addEventListener("dragleave", (event) => {
      if (hasFiles(event) && --depth <= 0) document.body.classList.remove("dropping");
    });
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault(); // or the browser would leave the page for the file
      depth = 0;
      document.body.classList.remove("dropping");
      if (hasFiles(event)) this.addFiles(event.dataTransfer.files);
    });
  }
}
