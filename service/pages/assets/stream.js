// Server-sent events by fetch (EventSource cannot carry a key), taken up again where a connection broke.

import { ApiError, pause, request } from "./api.js";

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** Yield the events of one response as {event, id, data}; comments are dropped. */
export async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 2);
      }
      if (event.event) yield event;
    }
  }
}

/**
 * Yield a job's trace records as they come, until the event `end`.
 *
 * A connection that breaks, by a restart of the service or of a proxy, is opened again after the last iteration
 * seen; `onBreak` hears of it. Throws ApiError where the service refuses.
 */
export async function* records(path, onBreak) {
  let last = null;
  let wait = FIRST_PAUSE;
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": String(last) }) };
      const response = await request(path, { headers });
      for await (const event of parse(response.body)) {
        if (event.event === "end") return;
        if (event.event !== "iteration") continue;
        last = Number(event.id);
        wait = FIRST_PAUSE;
        onBreak(false);
        yield JSON.parse(event.data);
      }
    } catch (error) {
      if (error instanceof ApiError && error.isFinal) throw error;
    }
    onBreak(true);
    await pause(wait);
    wait = Math.min(2 * wait, LONGEST_PAUSE);
  }
}
