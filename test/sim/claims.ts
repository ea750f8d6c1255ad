import type { ExchangeInput, ExchangeReply, LeasedTuple } from "../../client/wire.ts";
import type { Model } from "./model.ts";
import type { Seen } from "./observer.ts";
import type { LiveRow } from "./tables.ts";

/** Higher priority first, then the order in which jobs became ready, then that of acceptance. */
function compare(a: LiveRow, b: LiveRow): number {
  return b.priority - a.priority || a.rank - b.rank || a.seq - b.seq;
}

/**
 * What a session was given must be what the order says, within every limit. Answers what it was not given although
 * it wanted more; null: nothing.
 */
export function checkClaims(model: Model, input: ExchangeInput, claimed: LiveRow[], now: number): string | null {
  const session = input.session;
  const rows = [...model.living.values()].map((job) => job.live!);
  const held = rows.filter((row) => row.session === session);
  const running = rows.filter((row) => row.state === "running").length;
  const { concurrency, maxSessions } = model.settings;
  const others = [...model.sessions.values()].filter((s) => s.id !== session && s.leaseUntil > now).length;
  for (const row of claimed) {
    const job = model.jobs.get(row.seq)!;
    const early = job.notBefore - now;
    model.expect(early <= 0, "never-early", () => `job ${row.seq} was started ${early} ms early`);
    model.expect(!model.paused, "order", () => `job ${row.seq} was started while the queue is paused`);
    model.expect(
      (input.channel === null || row.channel === input.channel) && (input.worker.tasks?.includes(row.task) ?? true),
      "order",
      () => `job ${row.seq} was given to a session that did not ask for its kind`,
    );
  }
  if (claimed.length > 0) {
    model.expect(running <= concurrency, "concurrency", () => `${running} jobs run, ${concurrency} may`);
    model.expect(others < maxSessions, "max-sessions", () => `${others} other sessions hold jobs, ${maxSessions} may`);
  }
  const suspects = held.filter((row) => row.lapses > 0);
  model.expect(suspects.length <= 1, "suspects", () => `session ${session} holds ${suspects.map((row) => row.seq)}`);
  return checkLeft(model, input, rows, claimed, { held: held.length, running, others, suspects: suspects.length });
}

function checkLeft(
  model: Model,
  input: ExchangeInput,
  rows: LiveRow[],
  claimed: LiveRow[],
  counts: { held: number; running: number; others: number; suspects: number },
): string | null {
  const left = rows
    .filter(
      (row) =>
        row.state === "ready" &&
        (input.channel === null || row.channel === input.channel) &&
        (input.worker.tasks?.includes(row.task) ?? true) &&
        !(row.lapses > 0 && counts.suspects > 0),
    )
    .sort(compare);
  const first = left[0];
  if (!first) return null;
  const last = [...claimed].sort(compare).at(-1);
  if (last) {
    const right = compare(last, first) < 0;
    model.expect(right, "order", () => `job ${last.seq} was started before job ${first.seq}, which comes first`);
  }
  const { concurrency, maxSessions } = model.settings;
  const named = new Set([...input.holding, ...input.settle.map(({ seq }): [number] => [seq])].map(([seq]) => seq));
  const before = rows.filter((row) => row.session === input.session && !claimed.includes(row));
  const again = before.filter((row) => !named.has(row.seq)).length;
  const full = claimed.length + again >= input.want;
  const closed = model.paused || counts.running >= concurrency || counts.others >= maxSessions;
  if (full || closed) return null;
  return `${input.session} wanted ${input.want}, was given ${claimed.length} and ${again} again, and job ${first.seq} waits`;
}

/** What a session is told must be what is. */
export function checkAnswer(model: Model, input: ExchangeInput, reply: ExchangeReply, seen: Seen): void {
  const { session } = input;
  if (!reply.ok) return;
  model.expect(seen.starved === null, "work-conserving", () => String(seen.starved));
  const jobs = JSON.parse(reply.jobs) as LeasedTuple[];
  for (const [seq, , , , fence] of jobs) {
    model.expect(seen.heldAfter.get(seq) === fence, "told", () => `${session} was given ${seq}/${fence}, not its own`);
    model.granted(seq, fence, session);
  }
  const given = new Set(jobs.map(([seq]) => seq));
  const named = new Set([...input.holding.map(([seq]) => seq), ...input.settle.map(({ seq }) => seq)]);
  for (const seq of seen.heldAfter.keys()) {
    const told = given.has(seq) || (named.has(seq) && !seen.claimed.has(seq));
    model.expect(told, "told", () => `${session} holds job ${seq} and is not told`);
  }
  const lost = new Set(reply.lost.map(([seq, fence]) => `${seq}/${fence}`));
  for (const [seq, fence] of input.holding) {
    const gone = seen.heldAfter.get(seq) !== fence || seen.claimed.has(seq);
    const told = lost.has(`${seq}/${fence}`);
    model.expect(gone === told, "told", () => `${session} names ${seq}/${fence}: lost ${gone}, told ${told}`);
  }
  for (const seq of seen.cancelled) {
    model.expect(reply.cancel.includes(seq), "cancelled", () => `${session} is not told that job ${seq} is cancelled`);
  }
  if (!seen.repeated) checkRefusals(model, input, reply.refused, seen);
}

function checkRefusals(
  model: Model,
  input: ExchangeInput,
  refused: { seq: number; fence: number }[],
  seen: Seen,
): void {
  const told = new Set(refused.map(({ seq, fence }) => `${seq}/${fence}`));
  const seqs = new Set<number>();
  for (const { seq, fence } of input.settle) {
    if (seqs.has(seq)) continue;
    seqs.add(seq);
    const isRefused = told.has(`${seq}/${fence}`);
    const name = `the settle of ${seq}/${fence} by ${input.session}`;
    if (seen.heldBefore.get(seq) === fence) {
      model.expect(!isRefused, "told", () => `${name} was refused, and it held the job`);
    } else if (!model.jobs.get(seq)?.settled.has(fence)) {
      model.expect(isRefused, "told", () => `${name} was accepted, and it did not hold the job`);
    }
  }
}
