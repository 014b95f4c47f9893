// The page: the key, recordings, the microphone, the commands that learn from corrections.

import { key, request } from "./api.js";
import { Recordings } from "./recordings.js";
import { setUpSpeaking } from "./speak.js";

const find = (id) => document.getElementById(id);
let settings = null;
const recordings = new Recordings({ settings: () => settings, isOpen: () => !find("inputs").hidden, onSaved: showSummary });

// --- the start, and the key

async function start() {
  try {
    settings = await (await fetch(new URL("page/settings", document.baseURI))).json();
  } catch {
    find("model").textContent = "The server cannot be reached.";
    return;
  }
  const name = settings.language_name;
  const language = settings.language ? ` (${name[0].toUpperCase()}${name.slice(1)})` : "";
  find("model").textContent = `By the model ${settings.model}${language}, on this server.`;
  if (!settings.needs_key || (key.get() && (await isKeyRight()))) open();
  else askForKey("");
}

async function isKeyRight() {
  try {
    await request("v1/models");
    return true;
  } catch (error) {
    if (error.status !== 401) throw error;
    key.clear();
    return false;
  }
}

function askForKey(problem) {
  find("inputs").hidden = true;
  find("key").hidden = false;
  find("key-problem").textContent = problem;
  find("key-value").focus();
}

find("key").addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = find("key-value").value.trim();
  if (!value) return;
  if (!/^[!-~]+$/.test(value)) {
    askForKey("A key has letters, digits and signs of ASCII alone.");
    return;
  }
  key.set(value);
  try {
    if (!(await isKeyRight())) {
      askForKey("The server does not know this key.");
      return;
    }
  } catch (error) {
    askForKey(error.message);
    return;
  }
  find("key-value").value = "";
  find("key").hidden = true;
  open();
});

let isOpen = false;
function open() {
  find("inputs").hidden = false;
  if (!isOpen) {
    isOpen = true;
    setUpSpeaking({ sampleRate: settings.sample_rate, onRecording: (...spoken) => recordings.addSpoken(...spoken), onProblem: checkKey });
  }
  if (settings.saves_corrections) showSaved();
  recordings.work();
}

// After a WebSocket was refused: the browser does not say why.
async function checkKey() {
  if (settings.needs_key && !(await isKeyRight().catch(() => true))) askForKey("The server does not know this key any more.");
}

addEventListener("beforeunload", (event) => {
  if (settings?.saves_corrections && recordings.cards.some((card) => card.isUnsaved)) event.preventDefault();
});

// --- corrections

async function showSaved() {
  try {
    showSummary(await (await request("v1/corrections")).json());
  } catch (error) {
    find("learn").hidden = false;
    find("learn-summary").textContent = error.message;
  }
}

function showSummary(summary) {
  find("learn").hidden = false;
  const minutes = summary.seconds < 60 ? `${Math.round(summary.seconds)} s` : `${Math.round(summary.seconds / 60)} min`;
  const recordings = `${summary.recordings} corrected ${summary.recordings === 1 ? "recording" : "recordings"} (${minutes})`;
  find("learn-summary").textContent = summary.recordings
    ? `${recordings}: ${summary.train} to train on, ${summary.test} held back for the comparison.`
    : "Correct a transcript and save it: the model can be fine-tuned on what you save.";
  find("commands").hidden = !summary.train;
  find("train-command").textContent = summary.train_command;
  find("evaluate-command").textContent = summary.evaluate_command;
  find("evaluate-note").textContent = summary.test ? "" : "Every fifth recording is held back. There is none yet.";
}

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    const command = find(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } catch {
      getSelection().selectAllChildren(command);
    }
  });
}

start();
