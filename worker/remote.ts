/**
 * Frames of remote workers' sockets: text to what the object takes, and back.
 *
 * @module
 */
import type { ConnectFrame, ErrorCode } from "../client/types.ts";
import type { Grant, Remote } from "../durable-objects/queue-object.ts";
import type { Config } from "./config.ts";
import { exchange, leasedJobs } from "./exchange.ts";
import { parseExchange } from "./exchange-read.ts";
import { type Refused, refuse, toProblem } from "./problem.ts";

/** What the queue's object asks of the Worker for its sockets. */
export function createRemote(config: Config, now: () => number = Date.now): Remote {
  return {
    async exchange({ queue, partition }, grant: Grant, text, run) {
      const parsed = parseExchange(text);
      if (!parsed.ok) return problemFrame(parsed, null);
      const via = { queue, partition, channel: null, may: grant, standing: true, run };
      const done = await exchange(config, via, parsed.value, now);
      return done.ok ? write({ type: "answer", ...done.response }) : problemFrame(done, parsed.n);
    },
    push({ queue, partition }, { n, jobs, cancel }) {
      const prefix = `${queue}:${partition}:`;
      return write({
        type: "push",
        n,
        jobs: leasedJobs(prefix, jobs, now()),
        cancel: cancel.map((seq) => prefix + seq),
      });
    },
    problem: (code: ErrorCode, detail: string) => problemFrame(refuse(code, detail), null),
  };
}

function problemFrame(refused: Refused, n: number | null): string {
  return write({ type: "problem", n, problem: toProblem(refused) });
}

function write(frame: ConnectFrame): string {
  return JSON.stringify(frame);
}
