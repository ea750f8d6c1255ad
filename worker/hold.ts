/**
 * Holds back the answer to a worker that polls, while there is nothing to tell it.
 *
 * @module
 */
import type { ConnectFrame, ExchangeRequest, ExchangeResponse } from "../client/types.ts";
import type { Timer } from "../client/waiter.ts";

export interface HoldPorts {
  /** A socket for this worker at the queue's object; null where it takes none. */
  open(): Promise<WebSocket | null>;
  timer: Timer;
  /** Aborted when nobody waits for the answer any more. */
  gone: AbortSignal | undefined;
}

/** Whether an answer is worth holding back: more is wanted, and it tells nothing. */
export function mayHold({ want, gather }: ExchangeRequest, response: ExchangeResponse): boolean {
  return want + (gather?.want ?? 0) > 0 && !says(response);
}

function says({ jobs, lost, refused, cancel }: ExchangeResponse): boolean {
  return jobs.length + lost.length + refused.length + cancel.length > 0;
}

/**
 * Answers when there is something to tell, or with nothing at the end of the time: stands at the object by a socket of
 * its own and says the same again, which changes nothing twice. The object may sleep meanwhile.
 *
 * A worker that holds jobs is answered within a third of its lease, to renew it in time. What is told and does not
 * reach the worker is granted again with its next exchange.
 */
export async function hold(
  ports: HoldPorts,
  asked: ExchangeRequest,
  first: ExchangeResponse,
  waitMs: number,
): Promise<ExchangeResponse> {
  const socket = await ports.open();
  if (!socket) return first;
  const mostMs = asked.holding.length > 0 ? Math.min(waitMs, first.leaseMs / 3) : waitMs;
  let latest = first;
  return new Promise((resolve) => {
    const answer = (response: ExchangeResponse) => {
      cancelTimer();
      socket.close(1000);
      resolve(response);
    };
    const cancelTimer = ports.timer(mostMs, () => answer(latest));
    for (const end of ["close", "error"] as const) socket.addEventListener(end, () => answer(latest));
    ports.gone?.addEventListener("abort", () => answer(latest));
    socket.addEventListener("message", ({ data }) => {
      const frame = JSON.parse(String(data)) as ConnectFrame;
      if (frame.type === "push") return answer({ ...latest, jobs: frame.jobs, cancel: frame.cancel });
      if (frame.type === "problem") return answer(latest);
      const { type: _type, ...response } = frame;
      latest = response;
      if (says(latest)) answer(latest);
    });
    socket.accept();
    socket.send(JSON.stringify({ ...asked, settle: [], progress: [], logs: [] }));
  });
}
