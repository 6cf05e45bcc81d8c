// Server-sent events over fetch, which sends the API key; EventSource cannot.

import { ApiError, call, parseJson } from "./api.js";

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 15_000;

/**
 * Follow a stream until `isLast(event)`, or the signal aborts; one that breaks off is asked for again.
 * `hear` gets the name and the data of each event. Throws ApiError where the server refuses, as for a job that is gone.
 */
export async function follow(path, hear, isLast, signal) {
  let heard = null;
  let wait = FIRST_WAIT;
  while (!signal.aborted) {
    try {
      const response = await call(path, { headers: heard ? { "Last-Event-ID": heard } : {}, signal });
      if (response.status === 204) return;
      wait = FIRST_WAIT;
      for await (const event of read(response.body)) {
        heard = event.id ?? heard;
        hear(event.type, event.data);
        if (isLast(event)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
}

/** The events in a body, as they come. */
async function* read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** One event; null for a comment. */
function parse(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trimStart();
  }
  return fields.data ? { type: fields.event, id: fields.id, data: parseJson(fields.data) } : null;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
