/**
 * Deletes a queue but for its ids: what the API changed of it goes, and it leaves the registry.
 *
 * @module
 */
import type { Refusal, Reply } from "../client/wire.ts";
import { forget, forgetEnded, forgottenUpto, remember } from "./engine/forget.ts";
import type { ShellPorts } from "./ports.ts";
import type { Runner } from "./runner.ts";

const CALL_TIMEOUT_MS = 10_000;

export async function forgetQueue(ports: ShellPorts, runner: Runner): Promise<Reply<{ upto: number }>> {
  if (!runner.exists()) return { ok: true, upto: 0 };
  const { history, queue, partition, settings, within } = ports;
  const forgotten = runner.run((tx) => forget(tx, settings));
  if (!forgotten.ok) return forgotten;
  await runner.flusher.flush();
  if (runner.look((tx) => tx.books.outbox.unflushed) !== 0) {
    return refusal("unavailable", `Jobs of queue "${queue}" are still on their way to the history: try again`);
  }
  runner.run(forgetEnded);
  await within(CALL_TIMEOUT_MS, history.unregister(queue, partition));
  if (runner.look(forgottenUpto) === forgotten.upto) return forgotten;
  // Whoever used it meanwhile may have registered it before it was taken off the list.
  runner.run(remember);
  await runner.register();
  return refusal("conflict", `Cannot delete queue "${queue}": it was used again meanwhile`);
}

const refusal = (code: Refusal["code"], detail: string): Refusal => ({ ok: false, code, detail });
