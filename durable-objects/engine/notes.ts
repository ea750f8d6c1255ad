/**
 * What a worker says of the jobs that it goes on with: how far they are, and what they logged. One row a job.
 *
 * @module
 */
import type { ExchangeInput } from "../../client/wire.ts";
import type { Session } from "./books.ts";
import { chunks } from "./chunks.ts";
import { utf8Bytes } from "./limits.ts";
import type { NewLogs } from "./logs.ts";
import type { Tx } from "./ports.ts";
import { touchProgress } from "./watch.ts";

type Note = [seq: number, fence: number, progress: string | null, logs: string | null];

/** Notes progress and logs of jobs that the session holds. */
export function noteNews(tx: Tx, session: Session, progress: ExchangeInput["progress"], logs: NewLogs): void {
  const notes = new Map<number, Note>();
  for (const { seq, fence, progress: note } of progress) {
    if (session.held.get(seq)?.fence !== fence) continue;
    notes.set(seq, [seq, fence, JSON.stringify(note ?? null), null]);
    touchProgress(tx, seq);
  }
  for (const [seq, text] of logs) {
    const known = notes.get(seq);
    if (known) known[3] = text;
    else notes.set(seq, [seq, session.held.get(seq)!.fence, null, text]);
  }
  for (const chunk of chunks([...notes.values()], bytesOf)) {
    const json = JSON.stringify(chunk);
    // It becomes part of the record, whose size is counted.
    for (const { seq, bytes } of tx.sql.exec(BEFORE, json)) session.held.get(Number(seq))!.bytes -= Number(bytes);
    for (const [seq, , text] of chunk) session.held.get(seq)!.bytes += text === null ? 0 : utf8Bytes(text);
    tx.sql.exec(NOTE, json, session.id);
  }
}

/** About what a note takes besides its texts. */
const NOTE_BYTES = 40;

function bytesOf([, , progress, logs]: Note): number {
  return (progress?.length ?? 0) + (logs?.length ?? 0) + NOTE_BYTES;
}

const BEFORE = `
SELECT jobs.seq, octet_length(progress) AS bytes FROM json_each(?1) AS e CROSS JOIN jobs ON jobs.seq = e.value ->> 0
WHERE progress IS NOT NULL AND e.value ->> 2 IS NOT NULL`;

const NOTE = `
UPDATE jobs SET progress = coalesce(v.progress, jobs.progress), logs = coalesce(v.logs, jobs.logs)
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS fence, value ->> 2 AS progress, value ->> 3 AS logs
  FROM json_each(?1)) AS v
WHERE jobs.seq = v.seq AND jobs.fence = v.fence AND jobs.state = 'running' AND jobs.session = ?2`;
