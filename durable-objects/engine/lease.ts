/**
 * Jobs in the form in which they are handed out, as many as an answer may carry.
 *
 * @module
 */
import { chunks } from "./chunks.ts";
import { CLAIM_BYTES } from "./limits.ts";
import type { Tx } from "./ports.ts";

/** The first of `items` that fit one answer; one always does. */
export function fitAnswer<Item>(items: Item[], bytesOf: (item: Item) => number): Item[] {
  let bytes = 0;
  const over = items.findIndex((item, index) => {
    bytes += bytesOf(item);
    return index > 0 && bytes > CLAIM_BYTES;
  });
  return over < 0 ? items : items.slice(0, over);
}

export function bytesOf(jobs: { bytes: number }[]): number {
  return jobs.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Claimed jobs as `LeasedTuple`s in JSON text, joined by commas. What an answer may carry is more than one SQL value may hold. */
export function leaseTexts(tx: Tx, jobs: { seq: number; bytes: number }[]): string {
  const parts = [...chunks(jobs, ({ bytes }) => bytes)].map((part) => {
    const [row] = tx.sql.exec(LEASE, JSON.stringify(part.map(({ seq }) => seq)));
    return String(row!.jobs).slice(1, -1);
  });
  return parts.join(",");
}

const LEASE = `
SELECT json_group_array(json_array(jobs.seq, task, payload, encoding, fence, failures, created_at, run_at,
  reopened_fence, options)) AS jobs
FROM json_each(?1) AS p CROSS JOIN jobs ON jobs.seq = p.value CROSS JOIN lanes ON lanes.id = jobs.lane`;
