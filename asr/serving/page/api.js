// Requests to this server: the key, errors, and the answer of a recording while it comes.

const KEY = "asr-key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

// What the server says, or what the browser says where no answer came.
export class RequestError extends Error {
  constructor(message, { status = 0, code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

const url = (path) => new URL(path, document.baseURI);
const authorization = () => (key.get() ? { Authorization: `Bearer ${key.get()}` } : {});

const errorOf = (status, body, retryAfter) => {
  let error = {};
  try {
    error = JSON.parse(body).error ?? {};
  } catch {
    // Not this server's: a proxy's.
  }
  const message = error.message ?? (status ? `The server answered with status ${status}.` : "The server cannot be reached.");
  return new RequestError(message, { status, code: error.code ?? null, retryAfter: Number(retryAfter) || null });
};

export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(url(path), { ...options, headers: { ...authorization(), ...options.headers } });
  } catch {
    throw new RequestError("The server cannot be reached.");
  }
  if (!response.ok) throw errorOf(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

const form = (fields, file, name) => {
  const body = new FormData();
  for (const [field, value] of fields) body.append(field, value);
  body.append("file", file, name);
  return body;
};

// `onUpload` gets the share that is sent; `onText` gets the text so far and the second that it reaches.
export function transcribe(file, name, { model, onUpload, onText, signal }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    let read = 0, text = "", answer = null, failure = null;
    const readEvents = () => {
      const end = sending.responseText.lastIndexOf("\n\n");
      if (end < read) return;
      for (const event of sending.responseText.slice(read, end).split("\n\n")) {
        if (!event.startsWith("data: ") || event === "data: [DONE]") continue;
        const value = JSON.parse(event.slice(6));
        if (value.type === "transcript.text.delta") onText((text += value.delta), value.end ?? 0);
        else if (value.type === "transcript.text.done") answer = value;
        else if (value.error) failure = value.error;
      }
      read = end + 2;
    };
    sending.open("POST", url("v1/audio/transcriptions"));
    for (const [name, value] of Object.entries(authorization())) sending.setRequestHeader(name, value);
    sending.upload.onprogress = (event) => event.lengthComputable && onUpload(event.loaded / event.total);
    sending.onprogress = () => sending.status === 200 && readEvents();
    sending.onload = () => {
      if (sending.status !== 200) {
        reject(errorOf(sending.status, sending.responseText, sending.getResponseHeader("Retry-After")));
        return;
      }
      readEvents();
      if (answer) resolve(answer);
      else reject(new RequestError(failure?.message ?? "The answer is incomplete.", { code: failure?.code }));
    };
    sending.onerror = () => reject(new RequestError("The server cannot be reached, or ended the connection."));
    sending.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(form([
      ["model", model], ["response_format", "verbose_json"], ["stream", "true"],
      ["timestamp_granularities[]", "word"],
    ], file, name));
  });
}

export async function saveCorrection(file, name, { text, recognised }) {
  const body = form([["text", text], ["recognised", recognised], ["name", name]], file, name);
  return (await request("v1/corrections", { method: "POST", body })).json();
}

export async function transcriptFile(format, transcript) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(transcript) };
  return (await request(`v1/subtitles/${format}`, options)).text();
}

// A browser sends no headers with a WebSocket: the key goes as a subprotocol, never in the address.
export function openLive(rate) {
  const address = url(`v1/live?rate=${rate}&format=s16le`);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const protocols = ["asr.live"];
  if (key.get()) {
    const encoded = btoa(key.get()).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    protocols.push(`asr-key.${encoded}`);
  }
  const socket = new WebSocket(address, protocols);
  socket.binaryType = "arraybuffer";
  return socket;
}
