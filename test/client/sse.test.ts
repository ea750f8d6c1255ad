import { afterEach, describe, expect, it, vi } from "vitest";
import { EventParser, readEvents, type ServerEvent } from "../../client/sse.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function bodyOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

async function read(chunks: readonly Uint8Array[], parser = new EventParser()): Promise<ServerEvent[]> {
  return Array.fromAsync(readEvents(bodyOf(chunks), parser, { silentMs: 1_000 }));
}

const message = (data: string, id = ""): ServerEvent => ({ id, data });

const SAMPLES: [what: string, text: string, events: ServerEvent[]][] = [
  ["ends lines by LF", "data: a\n\ndata: b\n\n", [message("a"), message("b")]],
  ["ends lines by CR", "data: a\r\rdata: b\r\r", [message("a"), message("b")]],
  ["ends lines by CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", [message("a"), message("b")]],
  ["ends lines by all of them", "data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r", [message("a\nb\nc"), message("d")]],
  ["takes off a byte order mark, one and at the start only", "\ufeffdata: a\n\n\ufeffdata: b\n\n", [message("a")]],
  ["joins lines of data", "data: a\ndata\ndata:\ndata: d\n\n", [message("a\n\n\nd")]],
  ["takes off one space", "data:a\n\ndata:  b\n\ndata:\tc\n\n", [message("a"), message(" b"), message("\tc")]],
  ["keeps colons of values", 'data: {"a":1}\n\n', [message('{"a":1}')]],
  ["leaves comments and unknown fields out", ": ping\n\n:\ndata: a\nfoo: bar\nfoo\n Data: x\n\n", [message("a")]],
  ["takes named events as the others", "event: log\ndata: a\n\ndata: b\n\n", [message("a"), message("b")]],
  [
    "keeps an id until the next",
    "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
    [message("a", "1"), message("b", "1"), message("c")],
  ],
  ["remembers an id without data", "id: 7\n\ndata: a\n\n", [message("a", "7")]],
  ["does not take an id with NUL", "id: 1\nid: a\0b\ndata: a\n\n", [message("a", "1")]],
  ["has no event without data", "event: x\n\n\n\ndata: a\n\n", [message("a")]],
  ["has an event of empty data", "data\n\ndata:\n\n", [message(""), message("")]],
  ["cuts what is not ended", "data: a\n\ndata: b\n", [message("a")]],
  ["decodes characters of many bytes", "data: é€😀\nid: 日本\n\n", [message("é€😀", "日本")]],
  ["has nothing to say of nothing", "", []],
];

describe.each(SAMPLES)("%s", (_, text, events) => {
  const bytes = encode(text);

  it("in one piece, and byte by byte", async () => {
    expect(await read([bytes])).toEqual(events);
    expect(await read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(events);
  });

  it("in two pieces, whatever the cut, and with nothing in between", async () => {
    for (let at = 0; at <= bytes.length; at++) {
      const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
      expect(await read([head, tail]), `cut at ${at}`).toEqual(events);
      expect(await read([head, new Uint8Array(0), tail]), `cut at ${at}, with a piece of nothing`).toEqual(events);
    }
  });
});

it("tells how long to wait before the stream is opened again", async () => {
  const parser = new EventParser();
  await read([encode("retry: 1500\nretry: 2s\nretry: -1\nretry\n\n")], parser);
  expect(parser.retryMs).toBe(1_500);
});

describe("a body", () => {
  afterEach(() => void vi.useRealTimers());

  function open() {
    let push!: (text: string) => void;
    let fail!: (error: unknown) => void;
    const cancel = vi.fn();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        push = (text) => controller.enqueue(encode(text));
        fail = (error) => controller.error(error);
      },
      cancel,
    });
    return { body, push, fail, cancel };
  }

  it("is cancelled when nobody reads on", async () => {
    const { body, push, cancel } = open();
    push("data: a\n\ndata: b\n\n");
    for await (const { data } of readEvents(body, new EventParser(), { silentMs: 1_000 })) {
      expect(data).toBe("a");
      break;
    }
    expect(cancel).toHaveBeenCalledOnce();
  });

  it("ends when it says nothing for too long; comments are something", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { body, push, cancel } = open();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { data } of readEvents(body, new EventParser(), { silentMs: 1_000 })) seen.push(data);
    })();
    for (let n = 0; n < 4; n++) {
      await vi.advanceTimersByTimeAsync(400);
      push(": still here\n");
    }
    push("data: a\n\n");
    expect(cancel).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1_000);
    await reading;
    expect(seen).toEqual(["a"]);
    expect(cancel).toHaveBeenCalledOnce();
  });

  it("ends when the signal is aborted, while it waits and before it began", async () => {
    const { body, cancel } = open();
    const stop = new AbortController();
    const reading = Array.fromAsync(readEvents(body, new EventParser(), { silentMs: 60_000, signal: stop.signal }));
    await Promise.resolve();
    stop.abort();
    expect(await reading).toEqual([]);
    expect(cancel).toHaveBeenCalledOnce();
    const second = open();
    second.push("data: a\n\n");
    const options = { silentMs: 60_000, signal: stop.signal };
    expect(await Array.fromAsync(readEvents(second.body, new EventParser(), options))).toEqual([]);
    expect(second.cancel).toHaveBeenCalledOnce();
  });

  it("throws what broke it", async () => {
    const { body, fail } = open();
    fail(new TypeError("terminated"));
    await expect(Array.fromAsync(readEvents(body, new EventParser(), { silentMs: 1_000 }))).rejects.toThrow(
      "terminated",
    );
  });
});
