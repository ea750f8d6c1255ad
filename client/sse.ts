/**
 * Server-sent events out of the body of a response, as the HTML standard reads them.
 *
 * @module
 */

/** One event, without its name: those of Millrace say it in their data. `id` is the latest that the stream has given. */
export interface ServerEvent {
  id: string;
  data: string;
}

/** Takes the text of a stream in pieces and gives back the events that are whole. What the end cuts off is no event. */
export class EventParser {
  /** What the stream asks to wait before it is opened again. */
  retryMs = 0;
  #rest = "";
  #afterReturn = false;
  #id = "";
  #data: string[] = [];

  /** `piece` has been decoded, and its byte order mark taken off. */
  push(piece: string): ServerEvent[] {
    if (piece === "") return [];
    // A carriage return ends a line at once: the line feed that may follow belongs to it.
    const lines = (this.#rest + (this.#afterReturn && piece[0] === "\n" ? piece.slice(1) : piece)).split(/\r\n?|\n/);
    this.#afterReturn = piece.endsWith("\r");
    this.#rest = lines.pop()!;
    return lines.flatMap((line) => (line === "" ? this.#dispatch() : this.#field(line)));
  }

  #field(line: string): [] {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
    if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return [];
  }

  #dispatch(): ServerEvent[] {
    const data = this.#data;
    this.#data = [];
    return data.length > 0 ? [{ id: this.#id, data: data.join("\n") }] : [];
  }
}

/**
 * The events of a body, until it ends, says nothing for `silentMs`, or the signal is aborted. The body is cancelled when
 * nobody reads on.
 *
 * @throws what reading the body throws
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  parser: EventParser,
  { silentMs, signal }: { silentMs: number; signal?: AbortSignal },
): AsyncGenerator<ServerEvent, void, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  // Ends a read that waits, too.
  const stop = () => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", stop);
  try {
    while (!signal?.aborted) {
      const timer = setTimeout(stop, silentMs);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}
