/**
 * The sockets of revoked tokens: closed at every queue, for nobody knows where they are open.
 *
 * @module
 */
import type { QueueRpc } from "../../client/wire.ts";
import type { HistoryReads } from "../history-reads.ts";
import type { Log } from "../log.ts";
import { inTurns } from "../turns.ts";

export interface DismissDeps {
  history(): Pick<HistoryReads, "registered">;
  stub(queue: string): Pick<QueueRpc, "dismiss">;
  log: Log;
}

/** Asks all queues that were ever used. Never rejects; what fails is in the log. */
export async function dismissTokens({ history, stub, log }: DismissDeps, ids: string[]): Promise<void> {
  try {
    const queues = await history().registered(Date.now());
    await inTurns(queues, async ({ name }) => {
      try {
        await stub(name).dismiss(ids);
      } catch (error) {
        log("warn", "sockets_undismissed", { queue: name, tokens: ids.length, error: String(error) });
      }
    });
  } catch (error) {
    log("warn", "sockets_undismissed", { tokens: ids.length, error: String(error) });
  }
}
