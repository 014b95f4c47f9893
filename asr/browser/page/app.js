// The page: which model, samples to begin with, recordings, the microphone. All of it happens in this browser.

import { lastRun, loadModel } from "./api.js";
import { Recordings } from "./recordings.js";
import { setUpSpeaking } from "./speak.js";

const find = (id) => document.getElementById(id);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
let site = null, settings = null, isSpeakingSetUp = false;

const recordings = new Recordings({ settings: () => settings, isOpen: () => settings !== null, onRecognised: showSpeed });

async function start() {
  addDownload("json");
  try {
    site = await (await fetch(new URL("site.json", document.baseURI))).json();
  } catch {
    fail("site.json cannot be loaded: serve the folder over http, by `python -m http.server` for example.");
    return;
  }
  if (site.about) {
    find("about").href = site.about;
    find("about").hidden = false;
  }
  find("choice").hidden = site.models.length < 2;
  for (const model of site.models) find("models").append(new Option(`${model.name} (${megabytes(model.bytes)})`, model.name));
  find("models").addEventListener("change", () => open(find("models").value));
  site.samples.forEach((sample, place) => find("sample-list").append(sampleButton(sample, place)));
  find("samples").hidden = !site.samples.length;
  await open(site.models[0].name);
}

// Load a model. What is chosen meanwhile waits for it.
async function open(name) {
  const model = site.models.find((one) => one.name === name), bar = find("load-progress");
  find("model-state").classList.remove("failed");
  settings = null;
  delete document.body.dataset.model;
  for (const one of inputs()) one.disabled = true;
  bar.classList.remove("done");
  bar.removeAttribute("value");
  find("load-status").textContent = `Loading the model ${name}.`;
  let card;
  try {
    card = await loadModel(name, site.runtime_bytes, (loaded, total) => {
      bar.value = loaded / total;
      find("load-status").textContent = loaded < total ? `Loading the model ${name}: ${megabytes(loaded)} of ${megabytes(total)}.` : `Starting the model ${name}.`;
    });
  } catch (error) {
    find("models").disabled = false;
    fail(`The model cannot be loaded. ${error.message}`);
    return;
  }
  bar.classList.add("done");
  find("load-status").textContent = "Ready.";
  find("model").textContent = `By the model ${name}, in this browser.`;
  find("model").title = card.decoder;
  settings = { model: name, language: model.language, sample_rate: card.rate, saves_corrections: false };
  for (const one of inputs()) one.disabled = false;
  if (!isSpeakingSetUp) setUpSpeaking({ sampleRate: card.rate, onRecording: (...spoken) => recordings.addSpoken(...spoken), onProblem: () => {} });
  isSpeakingSetUp = true;
  document.body.dataset.model = name; // that is ready
  recordings.work();
}

const inputs = () => document.querySelectorAll("#record, #files, #models, #sample-list button");

function fail(message) {
  find("model-state").classList.add("failed");
  find("load-progress").classList.add("done");
  find("load-status").textContent = message;
}

function addDownload(format) {
  const last = find("card").content.querySelector(".download:last-of-type"), button = last.cloneNode(true);
  button.dataset.format = button.textContent = format;
  last.after(button);
}

function sampleButton({ file, title }, place) {
  const button = document.createElement("button");
  button.textContent = title || `Sample ${place + 1}`;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const response = await fetch(new URL(`samples/${encodeURIComponent(file)}`, document.baseURI));
      if (!response.ok) throw new Error();
      recordings.addFiles([new File([await response.blob()], file)]);
    } catch {
      fail(`The sample ${file} cannot be loaded.`);
    }
    button.disabled = false;
  });
  return button;
}

function showSpeed(card) {
  const { element } = card, run = lastRun(), facts = element.querySelector(".facts");
  if (!run || element.classList.contains("failed") || element.querySelector(".tools").hidden) return;
  [element.dataset.duration, element.dataset.seconds] = [run.duration, run.seconds];
  const times = run.duration / run.seconds;
  facts.textContent += ` · ${times < 10 ? times.toFixed(1) : Math.round(times)} × real time`;
}

start();
