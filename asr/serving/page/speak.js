// Live captions: the microphone, the stream to the server, what is settled and what may still change.

import { openLive } from "./api.js";
import { toInt16, wavFile } from "./wav.js";
import { clock } from "./words.js";

const find = (id) => document.getElementById(id);
const SILENT_DECIBELS = -60, LOUD_DECIBELS = -1;
const SILENT_SECONDS = 4; // before the page says that nothing is heard
const FLUSH_MILLISECONDS = 500; // for the last samples, unless the browser has stopped the sound
const ENDED_SECONDS = 60; // that the server may take for the last words

// One connection. A pause ends it, so that a paused page takes no place on the server; its times count from `offset`.
class LiveStream {
  #socket;
  #waiting = [];
  #isEnding = false;

  constructor(rate, offset, { onPartial, onFinal }) {
    this.#socket = openLive(rate);
    this.ended = new Promise((resolve) => {
      let problem = null;
      this.#socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "partial") onPartial(event);
        else if (event.type === "final") onFinal(shifted({ ...event, ...event.written }, offset));
        else if (event.type === "error") problem = event.error.message;
      };
      this.#socket.onopen = () => {
        for (const message of this.#waiting) this.#socket.send(message);
        this.#waiting = [];
      };
      this.#socket.onclose = () => resolve(problem ?? (this.#isEnding ? null : "The connection to the server ended."));
    });
  }

  send(message) {
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#waiting.push(message);
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(message);
  }

  // Resolves to a problem, or to null.
  end() {
    this.#isEnding = true;
    this.send('{"type": "end"}');
    const timer = setTimeout(() => this.#socket.close(), 1000 * ENDED_SECONDS);
    return this.ended.finally(() => clearTimeout(timer));
  }
}

const shifted = (event, offset) => ({
  ...event,
  start: event.start + offset,
  end: event.end + offset,
  words: event.words.map((word) => ({ ...word, start: word.start + offset, end: word.end + offset })),
});

// The microphone. `onSamples` gets 16-bit samples and their peak.
async function openMicrophone(wantedRate, onSamples) {
  const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
  let context = new AudioContext({ sampleRate: wantedRate }), source;
  try {
    source = context.createMediaStreamSource(stream);
  } catch { // Firefox does not resample a microphone: the server does
    await context.close();
    context = new AudioContext();
    source = context.createMediaStreamSource(stream);
  }
  await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  let onLast = () => {};
  node.port.onmessage = ({ data: { samples, isLast } }) => {
    let peak = 0;
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
    if (samples.length) onSamples(toInt16(samples), peak);
    if (isLast) onLast();
  };
  source.connect(node);
  await context.resume(); // where it waits for a gesture
  return {
    rate: context.sampleRate,
    async pause() {
      source.disconnect();
      const flushed = new Promise((resolve) => { onLast = resolve; });
      node.port.postMessage("flush");
      await Promise.race([flushed, new Promise((resolve) => { setTimeout(resolve, FLUSH_MILLISECONDS); })]);
      for (const track of stream.getTracks()) track.enabled = false;
    },
    resume() {
      for (const track of stream.getTracks()) track.enabled = true;
      source.connect(node);
    },
    async close() {
      for (const track of stream.getTracks()) track.stop();
      await context.close();
    },
    onEnded(call) {
      for (const track of stream.getTracks()) track.addEventListener("ended", call);
    },
  };
}

const REASONS = {
  NotAllowedError: "The browser does not give this page the microphone. Allow it in the browser's settings for this site.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "Another program uses the microphone.",
};

// `onRecording` gets the recording, its name and its transcript when it is stopped.
export function setUpSpeaking({ sampleRate, onRecording, onProblem }) {
  const [record, stop, time, meter, status, captions] = ["record", "stop", "clock", "meter", "speak-status", "captions"].map(find);
  const [final, settled, tentative] = ["final", "settled", "tentative"].map(find);
  let state = "idle", microphone = null, stream = null;
  let blocks = [], sampleCount = 0, finals = [], startedAt = null, heardAt = 0, level = SILENT_DECIBELS, isUnheard = false;

  if (!navigator.mediaDevices || !window.AudioWorkletNode) {
    record.disabled = true;
    status.textContent = "A browser gives the microphone only to pages of this machine and to https pages.";
    return;
  }

  const seconds = () => (microphone ? sampleCount / microphone.rate : 0);
  const show = (next, message) => {
    state = next;
    const isOpen = state === "recording" || state === "paused";
    record.textContent = state === "recording" ? "Pause" : state === "paused" ? "Resume" : "Start";
    record.disabled = state === "starting" || state === "pausing" || state === "stopping";
    record.classList.toggle("primary", state !== "recording");
    stop.hidden = !isOpen;
    time.hidden = state === "idle" || state === "starting";
    meter.hidden = state !== "recording";
    status.textContent = message;
  };

  const showPartial = ({ text = "", settled: count = 0 }) => {
    const characters = [...text];
    settled.textContent = characters.slice(0, count).join("");
    tentative.textContent = characters.slice(count).join("");
    follow();
  };
  const showFinal = (event) => {
    finals.push(event);
    if (event.text) {
      const element = document.createElement("span");
      element.textContent = `${event.text} `;
      final.append(element);
    }
    showPartial({});
  };
  const follow = () => { final.parentElement.scrollTop = final.parentElement.scrollHeight; };

  const takeSamples = (samples, peak) => {
    blocks.push(samples);
    sampleCount += samples.length;
    stream?.send(samples.buffer);
    time.textContent = clock(seconds());
    const decibels = peak > 0 ? 20 * Math.log10(peak) : SILENT_DECIBELS;
    level = Math.max(decibels, level - 1.5); // falls slowly, to be seen
    meter.firstElementChild.style.transform = `scaleX(${Math.max(0, 1 - level / SILENT_DECIBELS)})`;
    meter.classList.toggle("loud", level > LOUD_DECIBELS);
    if (decibels > SILENT_DECIBELS + 8) heardAt = seconds();
    const unheard = state === "recording" && seconds() - heardAt > SILENT_SECONDS;
    if (unheard !== isUnheard) {
      isUnheard = unheard;
      if (state === "recording") status.textContent = unheard ? "The microphone gives no sound. Is it muted?" : "Recording.";
    }
  };

  const openStream = () => {
    const opened = new LiveStream(microphone.rate, seconds(), { onPartial: showPartial, onFinal: showFinal });
    stream = opened;
    opened.ended.then((problem) => {
      if (stream === opened && problem) lose(problem);
    });
  };
  // The server refused the stream, or went away: the recording so far is kept.
  const lose = async (problem) => {
    stream = null;
    await finish(problem);
    onProblem();
  };

  const start = async () => {
    show("starting", "Waiting for the microphone.");
    [blocks, sampleCount, finals, heardAt, level, isUnheard] = [[], 0, [], 0, SILENT_DECIBELS, false];
    for (const one of [final, settled, tentative]) one.replaceChildren();
    try {
      microphone = await openMicrophone(sampleRate, takeSamples);
    } catch (error) {
      show("idle", REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
      return;
    }
    microphone.onEnded(() => state === "recording" && finish("The microphone was disconnected."));
    startedAt = new Date();
    captions.hidden = false;
    show("recording", "Recording.");
    openStream();
  };

  const pause = async () => {
    show("pausing", "Recognising the last words.");
    await microphone.pause();
    const problem = await endStream();
    show("paused", problem ?? "Paused.");
  };
  const endStream = async () => {
    const last = stream;
    stream = null; // which no longer reports its end
    const problem = last ? await last.end() : null;
    showPartial({});
    return problem;
  };
  const resume = () => {
    heardAt = seconds();
    microphone.resume();
    show("recording", "Recording.");
    openStream();
  };

  const finish = async (reason = null) => {
    const wasRecording = state === "recording";
    show("stopping", "Recognising the last words.");
    if (wasRecording) await microphone.pause();
    const problem = await endStream();
    const { rate } = microphone;
    await microphone.close();
    const isWhole = !reason && !problem;
    if (sampleCount) {
      const stamp = new Date(startedAt - 60000 * startedAt.getTimezoneOffset()).toISOString().slice(0, 19).replace("T", " ");
      const transcript = {
        duration: sampleCount / rate,
        text: finals.map((one) => one.text).filter(Boolean).join(" "),
        words: finals.flatMap((one) => one.words.map(({ text, ...times }) => ({ word: text, ...times }))),
      };
      // A stream that broke off is recognised as a recording.
      onRecording(wavFile(blocks, rate), `Spoken ${stamp.replaceAll(":", "-")}.wav`, isWhole ? transcript : null);
    }
    [blocks, microphone] = [[], null];
    captions.hidden = true;
    show("idle", reason ?? problem ?? "With the microphone of this device.");
  };

  record.addEventListener("click", () => {
    if (state === "idle") start();
    else if (state === "recording") pause();
    else if (state === "paused") resume();
  });
  stop.addEventListener("click", async () => {
    await finish();
    record.focus();
  });
}
