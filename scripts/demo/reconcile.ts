import type { Job } from "../../client/index.ts";
import { type Delivery, temperOf } from "./receiver.ts";

export interface Books {
  /** Names of the files, in the order in which they were enqueued. */
  files: string[];
  /** Id of the job that was accepted for each file, by name. */
  accepted: Map<string, string>;
  /** What the receiver saw, by name. */
  deliveries: Map<string, Delivery>;
  /** The finished jobs as the history lists them. */
  history: Job[];
}

export interface Reconciliation {
  /** The table, line by line. */
  counts: [what: string, count: number][];
  /** Everything that is not as it must be; empty: nothing is missing. */
  missing: string[];
}

/** Holds files, accepted jobs, deliveries and history against each other, file by file. */
export function reconcile({ files, accepted, deliveries, history }: Books): Reconciliation {
  const found = new Map<string, Job[]>();
  for (const job of history) found.set(job.id, [...(found.get(job.id) ?? []), job]);
  const ours = [...accepted.values()].flatMap((id) => found.get(id) ?? []);
  const arrived = files.map((name) => deliveries.get(name)).filter((each) => each !== undefined);

  const missing = files.flatMap((name, index) => {
    const id = accepted.get(name);
    if (id === undefined) return [`${name}: not accepted`];
    return faultsOf(index, deliveries.get(name), found.get(id) ?? []).map((fault) => `${name} (${id}): ${fault}`);
  });
  if (new Set(accepted.values()).size !== accepted.size) missing.push("two files got the same job");
  for (const name of deliveries.keys()) {
    if (!accepted.has(name)) missing.push(`${name}: delivered, but never accepted`);
  }

  return {
    counts: [
      ["files", files.length],
      ["accepted", accepted.size],
      ["delivered", arrived.filter((each) => each.accepted > 0).length],
      ["delivered twice", arrived.filter((each) => each.accepted > 1).length],
      ["retried", ours.filter((job) => job.failures + job.lapses > 0 && job.state === "completed").length],
      ["dead", ours.filter((job) => job.state === "dead").length],
      ["in history", ours.length],
    ],
    missing,
  };
}

function faultsOf(index: number, delivery: Delivery | undefined, jobs: Job[]): string[] {
  const faults: string[] = [];
  const end = temperOf(index) === "refuses" ? "dead" : "completed";
  if (end === "completed" && !delivery?.accepted) faults.push("never delivered");
  if (delivery?.damage) faults.push(delivery.damage);
  if (new Set(delivery?.keys).size > 1) faults.push("delivered under different Idempotency-Keys");
  if (jobs.length !== 1) faults.push(jobs.length === 0 ? "not in the history" : `${jobs.length} times in the history`);
  for (const { state } of jobs) if (state !== end) faults.push(`${state} in the history, and should be ${end}`);
  return faults;
}
