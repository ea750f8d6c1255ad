import type { JobEvent, QueueEvent } from "../../../client/types.ts";
import type { LogTuple } from "../../../client/wire.ts";
import { worker } from "../../object/support.ts";
import { type Ask, ask, stubOf } from "../api/support.ts";

export interface Told {
  name: string;
  id: string;
  data: JobEvent | QueueEvent;
}

/** Reads server-sent events by their form, as they come. */
export function reading(response: Response) {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const state = { told: [] as Told[], comments: 0, retry: 0, done: false };
  const finished = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) take(state, block);
    }
    state.done = true;
  })();
  return Object.assign(state, { finished, cancel: () => reader.cancel() });
}

function take(state: { told: Told[]; comments: number; retry: number }, block: string): void {
  if (block.startsWith(":")) state.comments += 1;
  else if (block.startsWith("retry: ")) state.retry = Number(block.slice(7));
  else {
    const [, name, id, data] = /^event: (\w+)\nid: ([\w-]+)\ndata: (.*)$/.exec(block)!;
    state.told.push({ name: name!, id: id!, data: JSON.parse(data!) });
  }
}

export async function opened(path: string, about: Ask = {}) {
  const response = await ask(path, about);
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  return Object.assign(reading(response), { response });
}

/** Opens the path as a WebSocket. */
export async function socketAt(path: string, about: Ask = {}) {
  const { headers, ...rest } = about;
  const response = await ask(path, { ...rest, headers: { upgrade: "websocket", ...headers } });
  const frames: { cursor: string; event: JobEvent | QueueEvent }[] = [];
  const closed: [code: number, reason: string][] = [];
  const socket = response.webSocket;
  socket?.addEventListener("message", ({ data }) => void frames.push(JSON.parse(String(data))));
  socket?.addEventListener("close", ({ code, reason }) => void closed.push([code, reason]));
  socket?.accept();
  return { response, socket, frames, closed };
}

export const names = (told: { data: JobEvent | QueueEvent }[]): string[] =>
  told.map(({ data }) => {
    if (data.event === "state" || data.event === "result") return `${data.event} ${data.state}`;
    return data.event === "log" ? `log ${data.n}` : data.event;
  });

export const line = (message: string): LogTuple => [1_795_323_600_000, "info", message, null];

/** A session that exchanges by hand. */
export const sessionAt = (queue: string) => worker(stubOf(queue)).exchange;
