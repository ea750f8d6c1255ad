/**
 * Steps of operations: what the object has is changed at once, the rest after one look into the history for many jobs.
 *
 * @module
 */
import type { BulkInput, BulkReply, JobRecord } from "../client/wire.ts";
import { bulkHere } from "./engine/bulk.ts";
import { mayHaveMoved } from "./engine/outbox.ts";
import type { Tx } from "./engine/ports.ts";

/** Records read of the history at a time: they carry payloads and results. */
const READ_JOBS = 50;
const RACES_MAX = 5;

type Answer = BulkReply[number];

export interface BulkPorts {
  run<Result>(verb: (tx: Tx) => Result): Result;
  readMany(seqs: number[]): Promise<JobRecord[]>;
}

/**
 * Does one thing to many jobs, each on its own. Throws when the history does not answer, or jobs keep moving between
 * object and history; what was changed until then stays so, and the same step again leaves it alone.
 */
export async function bulk(input: BulkInput, ports: BulkPorts): Promise<BulkReply> {
  const answers = ports.run((tx) => bulkHere(tx, input));
  const elsewhere = input.jobs.filter(([seq]) => !answers.has(seq));
  for (let at = 0; at < elsewhere.length; at += READ_JOBS) {
    const part = { ...input, jobs: elsewhere.slice(at, at + READ_JOBS) };
    for (const [seq, answer] of await bulkElsewhere(part, ports)) answers.set(seq, answer);
  }
  return input.jobs.map(([seq]) => answers.get(seq)!);
}

/**
 * What was read of a job counts only if the object has not had it since before it was read: it may have ended anew in
 * between, and have left for the history again.
 */
async function bulkElsewhere(input: BulkInput, { run, readMany }: BulkPorts): Promise<Map<number, Answer>> {
  const answers = new Map<number, Answer>();
  const left = () => input.jobs.filter(([seq]) => !answers.has(seq));
  const note = (some: Map<number, Answer>): void => {
    for (const [seq, answer] of some) answers.set(seq, answer);
  };
  for (let race = 0; race < RACES_MAX && left().length > 0; race++) {
    const since = run((tx) => {
      note(bulkHere(tx, { ...input, jobs: left() }));
      return tx.books.nextOutboxId;
    });
    const asked = left();
    const found = await readMany(asked.map(([seq]) => seq));
    run((tx) => {
      const moved = mayHaveMoved(tx, since);
      const sure = found.filter(({ seq }) => !moved(seq));
      note(bulkHere(tx, { ...input, jobs: left() }, sure));
      for (const [seq] of left()) if (!moved(seq)) answers.set(seq, "absent");
    });
  }
  if (left().length === 0) return answers;
  throw new Error(
    `Changing ${input.jobs.length} jobs: ${left().length} kept moving while they were looked up; try again`,
  );
}
