import type { ExchangeInput, ExchangeReply, LeasedTuple, Settings } from "../../client/wire.ts";
import { dearest, isOpen, type ModelGate, type Passage } from "./limits.ts";
import type { Model, ModelJob } from "./model.ts";
import type { Seen } from "./observer.ts";
import { shareKey } from "./shares.ts";
import type { LiveRow } from "./tables.ts";

/** With ageing: how urgent a job is now, by the instant. Steps of a whole `per` may be counted from any instant. */
function urgencyOf({ priority, rank }: LiveRow, ageing: NonNullable<Settings["ageing"]>, now: number): number {
  return priority + ((now - rank) * ageing.priority) / ageing.perMs;
}

/** Whether a job must start before another, were both open; where shares decide, neither must. */
function precedes(model: Model, a: ModelJob, b: ModelJob, now: number): boolean {
  const { ageing } = model.settings;
  const [first, second] = [a.live!, b.live!];
  if (ageing) return urgencyOf(first, ageing, now) - urgencyOf(second, ageing, now) > ageing.priority;
  if (first.priority !== second.priority) return first.priority > second.priority;
  if (a.fairKey !== b.fairKey) return false;
  return first.rank !== second.rank ? first.rank < second.rank : first.seq < second.seq;
}

/** What of an exchange is asked. */
export type Taker = Pick<ExchangeInput, "session" | "channel" | "worker" | "holding" | "settle" | "want" | "gather">;

/** What one session was given, beside what it could have been given. */
interface Deal {
  model: Model;
  input: Taker;
  now: number;
  claimed: ModelJob[];
  /** Ready jobs that the session could be given, were they not closed. */
  left: ModelJob[];
  /** What each bucket is saved for. */
  saved: Map<ModelGate, number>;
  held: LiveRow[];
  others: number;
}

/**
 * What a session was given must be what the order says, within every limit. Answers what it was not given although
 * it wanted more; null: nothing.
 */
export function checkClaims(model: Model, input: Taker, claimed: LiveRow[], now: number): string | null {
  const session = input.session;
  const held: LiveRow[] = [];
  for (const { live } of model.living.values()) if (live!.session === session) held.push(live!);
  const suspects = held.filter((row) => row.lapses > 0);
  model.expect(suspects.length <= 1, "suspects", () => `session ${session} holds ${suspects.map((row) => row.seq)}`);
  const serves = (row: LiveRow): boolean =>
    (input.channel === null || row.channel === input.channel) && (input.worker.tasks?.includes(row.task) ?? true);
  const deal: Deal = {
    model,
    input,
    now,
    claimed: claimed.map((row) => model.jobs.get(row.seq)!),
    left: [...model.ready].filter(({ live }) => serves(live!) && !(live!.lapses > 0 && suspects.length > 0)),
    saved: dearest(model.ready),
    held,
    others: [...model.sessions.values()].filter((s) => s.id !== session && s.leaseUntil > now).length,
  };
  for (const row of claimed) {
    const job = model.jobs.get(row.seq)!;
    const early = job.notBefore - now;
    model.expect(early <= 0, "never-early", () => `job ${row.seq} was started ${early} ms early`);
    model.expect(!model.paused, "order", () => `job ${row.seq} was started while the queue is paused`);
    const asked = serves(row) || (input.gather?.tasks.includes(row.task) ?? false);
    model.expect(asked, "order", () => `job ${row.seq} was given to a session that did not ask for its kind`);
  }
  if (claimed.length > 0) checkLimits(deal);
  const open = deal.left.filter(({ passages }) => isOpen(passages, now, deal.saved));
  checkOrder(deal);
  checkShares(deal);
  return starved(deal, open);
}

function checkLimits({ model, claimed, others }: Deal): void {
  const maxSessions = model.settings.maxSessions ?? 20;
  model.expect(others < maxSessions, "max-sessions", () => `${others} other sessions hold jobs, ${maxSessions} may`);
  for (const { passages } of claimed) {
    for (const { gate } of passages) {
      const invariant = gate.name === "queue" ? "concurrency" : "limits";
      model.expect(
        gate.holders <= gate.concurrency,
        invariant,
        () => `${gate.holders} jobs hold ${gate.name}, ${gate.concurrency} may`,
      );
    }
  }
}

/** Jobs of some tasks may be gathered beside what is wanted: those come before others for that. */
function isGathered({ input: { gather } }: Deal, job: ModelJob): boolean {
  return gather?.tasks.includes(job.template.task) ?? false;
}

/** No job starts before one that comes first, unless that was closed when the other started. */
function checkOrder(deal: Deal): void {
  const { model, now, claimed, left, saved } = deal;
  if (claimed.length === 0) return;
  for (const first of left) {
    const after = claimed.filter(
      (job) => precedes(model, first, job, now) && (isGathered(deal, first) || !isGathered(deal, job)),
    );
    if (after.length === 0 || !isOpen(first.passages, now, saved, after)) continue;
    model.fail("order", `job ${after.at(-1)!.seq} was started before job ${first.seq}, which comes first`);
    return;
  }
}

/** What each fair key was given of each priority, beside those that could have been. */
function checkShares(deal: Deal): void {
  const { model, now, claimed, left, saved } = deal;
  if (claimed.length === 0 || model.settings.ageing) return;
  const servable = new Set(left);
  for (const priority of new Set(claimed.map(({ live }) => live!.priority))) {
    const jobs = claimed.filter(({ live }) => live!.priority === priority);
    const waiting = new Map<string, Set<ModelJob>>();
    for (const job of model.ready) {
      if (job.live!.priority !== priority || !servable.has(job)) continue;
      const places = waiting.get(shareKey(job)) ?? new Set();
      waiting.set(shareKey(job), places);
      const [queue, task, ...keys] = job.passages as [Passage, Passage, ...Passage[]];
      if (places.size === jobs.length || !isOpen(keys, now, saved)) continue;
      for (const one of jobs) {
        const could = isGathered(deal, job) || !isGathered(deal, one);
        if (could && isOpen([queue, task], now, saved, [one])) places.add(one);
      }
    }
    const unfair = model.shares.started(priority, jobs, waiting, model.running, model.settings.weights ?? {});
    if (unfair) model.fail("fair-share", unfair);
  }
}

/** What waits although the session has room for it; null: nothing. */
function starved({ model, input, claimed, held, others }: Deal, open: ModelJob[]): string | null {
  const first = open[0];
  if (!first) return null;
  const named = new Set([...input.holding, ...input.settle.map(({ seq }): [number] => [seq])].map(([seq]) => seq));
  const before = held.filter((row) => !claimed.some(({ seq }) => seq === row.seq));
  const again = before.filter((row) => !named.has(row.seq)).length;
  const full = claimed.length + again >= input.want;
  if (full || model.paused || others >= (model.settings.maxSessions ?? 20)) return null;
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
    const told = given.has(seq) || seen.handed.has(seq) || (named.has(seq) && !seen.claimed.has(seq));
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
