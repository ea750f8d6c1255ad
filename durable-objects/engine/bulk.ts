import type { BulkInput, BulkReply, JobRecord, Reply } from "../../client/wire.ts";
import type { Tx } from "./ports.ts";

/** What a step needs of the shell: verbs that find a job wherever it is. */
export interface BulkPorts {
  run<Result>(verb: (tx: Tx) => Result): Result;
  cancel(seq: number): Promise<Reply<{ job: JobRecord }>>;
  retry(seq: number): Promise<Reply<{ job: JobRecord }>>;
  remove(seq: number): Promise<Reply<object>>;
}

/** Does one thing to many jobs, each on its own. */
export async function bulk(_input: BulkInput, _ports: BulkPorts): Promise<BulkReply> {
  return [];
}
