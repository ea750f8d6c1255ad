/**
 * What changes for those who watch. Transitions say which jobs they touched; at the end of the transaction what watchers
 * need is loaded, in sets. Where nobody watches, touching a job costs one look.
 *
 * @module
 */
import type { QueueEvent, Reason, Streamed } from "../../client/types.ts";
import { type Entry, type JobRecord, recordOf } from "../../client/wire.ts";
import { eventsSince, type Seen, seenOf, type Told, toldOf } from "./events.ts";
import { get, idOf } from "./inspect.ts";
import { STREAM_BYTES, STREAM_EVENTS, STREAM_JOBS, STREAM_MS, STREAM_WATCHERS } from "./limits.ts";
import type { Row, Tx } from "./ports.ts";
import { countJobs } from "./tally.ts";

/** Who watches what, in the hands of whoever has the watchers; and how much those of the queue have been told lately. */
export interface Watched {
  /** Watchers of each job. */
  jobs: Map<number, number>;
  /** Watchers of the queue. */
  queue: number;
  /** When counts were told last; `owed`: they are others by now. */
  counts: { at: number; owed: boolean };
  /** What was told of jobs since `at`; `gap`: and that there is more. */
  lately: { at: number; events: number; bytes: number; gap: boolean };
}

export function nobodyWatches(): Watched {
  return {
    jobs: new Map(),
    queue: 0,
    counts: { at: 0, owed: false },
    lately: { at: 0, events: 0, bytes: 0, gap: false },
  };
}

/** What happened to a job. */
interface Touch {
  state: boolean;
  progress: boolean;
  /** New ones. */
  lines: number;
}

/** What one transaction touched. */
export interface Touched {
  jobs: Map<number, Touch>;
  /** Something of the queue changed. */
  queue: boolean;
  /** Jobs that may still be noted for those who watch the queue; `more`: there were more. */
  room: number;
  more: boolean;
  /** Outbox rows from this one on are of the transaction. */
  outboxId: number;
}

/** What watchers need to be told after the commit. */
export interface Changes {
  /** Watched jobs as they are now; null: deleted. */
  jobs: Map<number, Seen | null>;
  /** For those who watch the queue. */
  queue: Streamed<QueueEvent>[];
}

const STATE: Touch = { state: true, progress: false, lines: 0 };
const PROGRESS: Touch = { state: false, progress: true, lines: 0 };

/** To be filled by a transaction; null: nobody watches. */
export function touchedBy(watched: Watched | null, now: number, outboxId: number): Touched | null {
  if (!watched || (watched.queue === 0 && watched.jobs.size === 0)) return null;
  if (watched.lately.at + STREAM_MS <= now) watched.lately = { at: now, events: 0, bytes: 0, gap: false };
  const room = watched.queue > 0 && hasRoom(watched, 0) ? STREAM_JOBS : 0;
  return { jobs: new Map(), queue: false, room, more: false, outboxId };
}

/** Whether another event, of so many bytes, may be told. It is sent to each: where many watch the queue, all are told less. */
function hasRoom({ queue, lately: { events, bytes } }: Watched, more: number): boolean {
  const share = Math.max(1, queue / STREAM_WATCHERS);
  return events * share < STREAM_EVENTS && (bytes + more) * share <= STREAM_BYTES;
}

/** Jobs came into being, changed their state, ended or were deleted. */
export function touch(tx: Tx, jobs: Iterable<{ seq: number }>): void {
  if (tx.touched === null) return;
  for (const { seq } of jobs) note(tx, tx.touched, seq, STATE);
}

export function touchNew(tx: Tx, firstSeq: number, count: number): void {
  if (tx.touched === null) return;
  for (let seq = firstSeq; seq < firstSeq + Math.min(count, STREAM_JOBS + 1); seq++) note(tx, tx.touched, seq, STATE);
}

export function touchProgress(tx: Tx, seq: number): void {
  if (tx.touched !== null) note(tx, tx.touched, seq, PROGRESS);
}

export function touchLines(tx: Tx, seq: number, lines: number): void {
  if (tx.touched !== null) note(tx, tx.touched, seq, { state: false, progress: false, lines });
}

/** The queue was paused or resumed. */
export function touchQueue(tx: Tx): void {
  if (tx.touched !== null) tx.touched.queue = true;
}

function note(tx: Tx, touched: Touched, seq: number, { state, progress, lines }: Touch): void {
  const { jobs, queue } = tx.watched!;
  if (queue > 0) touched.queue = true;
  const known = touched.jobs.get(seq);
  if (known) {
    known.state ||= state;
    known.progress ||= progress;
    known.lines += lines;
  } else if (touched.room > 0 || jobs.has(seq)) {
    touched.room -= 1;
    touched.jobs.set(seq, { state, progress, lines });
  } else if (queue > 0) {
    touched.more = true;
  }
}

/** When counts that are owed are due; those who watch are not told more often than once a second. */
export function countsDueAt({ watched }: Tx): number {
  if (!watched || watched.queue === 0 || !watched.counts.owed) return Number.POSITIVE_INFINITY;
  return watched.counts.at + STREAM_MS;
}

/** What the transaction changed for those who watch; null: nothing. */
export function changesOf(tx: Tx): Changes | null {
  const { touched, watched } = tx;
  if (!touched || !watched) return null;
  if (touched.queue) watched.counts.owed = true;
  const countsAreDue = countsDueAt(tx) <= tx.now;
  if (touched.jobs.size === 0 && !countsAreDue) return null;
  const seen = load(tx, touched);
  const jobs = new Map([...seen].filter(([seq]) => watched.jobs.has(seq)));
  const events = watched.queue > 0 ? tellQueue(watched, touched, seen) : [];
  if (countsAreDue) {
    watched.counts = { at: tx.now, owed: false };
    events.push(countsOf(tx));
  }
  if (jobs.size === 0 && events.length === 0) return null;
  const cursor = String(tx.now);
  return { jobs, queue: events.map((event) => ({ cursor, event })) };
}

/** Tells how many jobs there are. */
export function countsOf(tx: Tx): QueueEvent {
  return { event: "counts", counts: { ...countJobs(tx.sql, tx.books) }, paused: tx.books.paused !== null };
}

/** Events of the jobs, as far as a stream may carry; then that there were more. */
function tellQueue(watched: Watched, { jobs, more }: Touched, seen: Map<number, Seen | null>): QueueEvent[] {
  const { lately } = watched;
  const told: QueueEvent[] = [];
  let left = jobs.size;
  for (const [seq, touch] of jobs) {
    const job = seen.get(seq);
    const bytes = job ? bytesOf(job, touch) : 0;
    if (told.length >= STREAM_JOBS || !hasRoom(watched, bytes)) break;
    left -= 1;
    if (!job) continue;
    const events = eventsSince(toldBefore(job, touch), job);
    lately.events += events.length;
    lately.bytes += bytes;
    told.push(...events.map(({ event }) => event));
  }
  if ((more || left > 0) && !lately.gap) {
    lately.gap = true;
    told.push({ event: "gap", reason: "overflow" });
  }
  return told;
}

/** About how much its events take. */
function bytesOf({ result, error, logs, progress }: Seen, { state, lines }: Touch): number {
  const ended = state ? (result?.length ?? 0) + (error?.length ?? 0) : 0;
  return 300 + ended + (lines > 0 ? (logs?.length ?? 0) : 0) + (progress?.length ?? 0);
}

/** What of the job stood before the transaction, as far as it tells. */
function toldBefore(job: Seen, { state, progress, lines }: Touch): Told {
  const now = toldOf(job);
  return {
    ...(state ? { fence: -1, state: "" } : { fence: now.fence, state: now.state }),
    progress: progress ? "" : now.progress,
    lines: now.lines - lines,
    ended: !state,
  };
}

/** A job as the object has it, to begin a stream with; null: it is deleted, or not here any more. */
export function see(tx: Tx, seq: number): Seen | null {
  const record = get(tx, seq, true);
  return record === null || record === "deleted" ? null : seenOf(idOf(tx, seq), record);
}

/** Jobs as they are at the end of the transaction. */
function load(tx: Tx, { jobs, outboxId }: Touched): Map<number, Seen | null> {
  const seen = new Map<number, Seen | null>();
  if (jobs.size === 0) return seen;
  const asked = [...jobs].map(([seq, { lines }]) => [seq, Number(lines > 0 || tx.watched!.jobs.has(seq))]);
  for (const seq of jobs.keys()) seen.set(seq, null);
  for (const row of tx.sql.exec(LIVE, JSON.stringify(asked))) seen.set(Number(row.seq), seenLive(tx, row));
  const gone = [...seen].filter(([, job]) => job === null).map(([seq]) => seq);
  if (gone.length === 0 || outboxId === tx.books.nextOutboxId) return seen;
  for (const { entry } of tx.sql.exec(ENDED, JSON.stringify(gone), outboxId)) {
    const record: JobRecord = recordOf(JSON.parse(String(entry)) as Entry);
    seen.set(record.seq, seenOf(idOf(tx, record.seq), record));
  }
  return seen;
}

const LIVE = `
SELECT jobs.seq, fence, lanes.task AS task, state, reason, progress, CASE e.value ->> 1 WHEN 1 THEN logs END AS logs,
  min(failures + 1, options ->> 'maxAttempts') AS attempt
FROM json_each(?) AS e CROSS JOIN jobs ON jobs.seq = e.value ->> 0 CROSS JOIN lanes ON lanes.id = jobs.lane`;

const ENDED = `
SELECT e.value AS entry FROM outbox AS o, json_each(o.body) AS e
WHERE o.id >= ?2 AND o.kind IN ('history', 'result') AND e.value ->> 0 IN (SELECT value FROM json_each(?1)) ORDER BY o.id`;

function seenLive(tx: Tx, row: Row): Seen {
  const text = (value: Row[string]): string | null => (value == null ? null : String(value));
  return {
    id: idOf(tx, Number(row.seq)),
    task: String(row.task),
    state: row.state as Seen["state"],
    reason: row.reason as Reason | null,
    attempt: Number(row.attempt),
    fence: Number(row.fence),
    progress: text(row.progress!),
    logs: text(row.logs!),
    result: null,
    error: null,
  };
}
