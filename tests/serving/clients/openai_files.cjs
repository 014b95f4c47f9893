// What OpenAI's client for JavaScript gets from a server, as JSON. It sends forms without their length.
const { OpenAI, toFile } = require("openai");
const { createReadStream } = require("node:fs");

const [baseURL, path, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const create = (more) =>
  client.audio.transcriptions.create({ model: "tiny", file: createReadStream(path), ...more });

async function failure(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
  return [];
}

async function main() {
  const verbose = await create({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });
  const events = [];
  for await (const event of await create({ stream: true })) events.push(event);
  const large = await toFile(Buffer.alloc(3000000), "a.wav");
  return {
    json: (await create()).text,
    srt: await create({ response_format: "srt" }),
    words: verbose.words.map((one) => [one.word, one.start, one.end]),
    segments: verbose.segments.map((one) => one.text),
    events,
    model: await failure(() => create({ model: "other" })),
    key: await failure(() => new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list()),
    large: await failure(() => create({ file: large })),
  };
}

main().then((found) => console.log(JSON.stringify(found)));
