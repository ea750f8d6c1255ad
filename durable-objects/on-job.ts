/**
 * One job, wherever it is: in the object, or in the history alone.
 *
 * @module
 */
import type { JobRecord, Refusal } from "../client/wire.ts";
import { get, idOf } from "./engine/inspect.ts";
import type { Tx } from "./engine/ports.ts";
import type { ShellPorts } from "./ports.ts";
import type { Runner } from "./runner.ts";

const READ_TIMEOUT_MS = 10_000;
const RACES_MAX = 5;

export const notFound = (what: string): Refusal => ({
  ok: false,
  code: "not_found",
  detail: `There is no job ${what} in this queue`,
});

/**
 * Does something to a job wherever it is. For one that only the history has, the history is read, and what was read
 * counts only if nothing has moved in the object meanwhile.
 */
export async function onJob<Done extends { ok: true }>(
  ports: ShellPorts,
  runner: Runner,
  seq: number,
  inObject: (tx: Tx, seq: number) => Done | Refusal | "absent",
  inHistory: (tx: Tx, found: JobRecord | null) => Done | Refusal | "absent",
): Promise<Done | Refusal> {
  const { history, queue, partition, within } = ports;
  const id = idOf(ports, seq);
  for (let race = 0; race < RACES_MAX; race++) {
    const known = runner.look((tx) => (seq < tx.books.nextSeq ? moves(tx) : null));
    if (known === null) return notFound(id);
    const done = runner.run((tx) => inObject(tx, seq));
    if (done !== "absent") return done;
    if (runner.look((tx) => get(tx, seq)) === "deleted") return notFound(id);
    const found = await within(READ_TIMEOUT_MS, history.read(queue, partition, seq));
    const reply = runner.run((tx) => {
      const here = inObject(tx, seq);
      if (here !== "absent") return here;
      return moves(tx) === known ? inHistory(tx, found) : "moved";
    });
    if (reply === "absent") return notFound(id);
    if (reply !== "moved") return reply;
  }
  return { ok: false, code: "unavailable", detail: `Job ${id} kept changing while it was looked up: try again` };
}

/** Changes with every end and every flush. */
function moves({ books }: Tx): string {
  return `${books.nextOutboxId}/${books.outbox.flushedUpto}`;
}
