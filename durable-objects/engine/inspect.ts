import type { JobRecord, QueueDescription } from "../../client/wire.ts";
import { findInOutbox } from "./outbox.ts";
import type { Tx } from "./ports.ts";
import { countJobs } from "./tally.ts";
import { oldestReadyAt } from "./tickets.ts";

/** The columns of a live row, in the order of a record. */
export const COLUMNS = `seq, fence, lanes.task AS task, state, reason, priority, failures, lapses, payload, encoding,
  NULL AS result, error, progress, attempts, options, created_at AS createdAt, run_at AS runAt,
  started_at AS startedAt, NULL AS finishedAt, cancel_requested_at AS cancelRequestedAt`;

/** The id of a job, as people see it. */
export function idOf({ queue, partition }: Pick<Tx, "queue" | "partition">, seq: number): string {
  return `${queue}:${partition}:${seq}`;
}

/** The job where the object still has it: live, or lately ended. `logs`: with what it logged. */
export function get(tx: Tx, seq: number, logs = false): JobRecord | "deleted" | null {
  const live = getLive(tx, seq, logs);
  if (live) return live;
  const ended = findInOutbox(tx, seq);
  if (logs || ended === null || ended === "deleted") return ended;
  const { logs: _, ...record } = ended;
  return record;
}

export function getLive(tx: Tx, seq: number, logs = false): JobRecord | null {
  const columns = logs ? `${COLUMNS}, logs` : COLUMNS;
  const [row] = tx.sql.exec(`SELECT ${columns} FROM jobs JOIN lanes ON lanes.id = jobs.lane WHERE seq = ?`, seq);
  return row ? (row as unknown as JobRecord) : null;
}

/** The queue in figures. */
export function describe(tx: Tx, nextWakeAt: number | null): QueueDescription {
  const { books } = tx;
  return {
    paused: books.paused,
    counts: { ...countJobs(tx.sql, books) },
    oldestReadyAt: oldestReadyAt(tx, () => true),
    sessions: [...books.sessions.values()].map((session) => ({
      id: session.id,
      worker: session.worker,
      jobs: session.held.size,
      leaseUntil: session.leaseUntil,
    })),
    settings: books.settings,
    nextWakeAt,
    outboxRows: books.outbox.unflushed,
    metrics: structuredClone(books.metrics),
  };
}
