import type { ExplainReply, JobRecord, LogTuple } from "../../client/wire.ts";
import { isClosed, type Passage } from "./limits.ts";
import type { Model } from "./model.ts";
import type { Site } from "./site.ts";
import type { LiveRow } from "./tables.ts";

/** Gates of limits, and what of a model's gate each stands for. */
const CLOSED_BY = {
  concurrency: ({ gate }: Passage): boolean => gate.holders >= gate.concurrency,
  key_paused: ({ gate }: Passage, now: number): boolean => gate.closedUntil > now,
} as const;

/** Why a job waits must be what keeps it from starting, and nothing else. */
export function checkExplained({ model, host, clock }: Site, seq: number, said: ExplainReply | null): void {
  const job = model.jobs.get(seq);
  const now = Math.max(clock.wall(), host.latest);
  const row = job?.live;
  const names = said?.gates.map(({ gate }) => gate) ?? [];
  const expect = (right: boolean, what: string): void =>
    model.expect(
      right,
      "explained",
      () => `job ${seq} is ${row?.state ?? "not live"}: ${what}, ${JSON.stringify(said)}`,
    );
  if (!job || !row) {
    expect(!said || names.join() === "final", "it is explained otherwise");
    return;
  }
  if (!said) {
    expect(false, "it is not explained");
    return;
  }
  expect(said.runnable === (names.length === 0), "it is runnable when nothing is closed");
  if (row.state === "running") {
    expect(names.join() === "running", "it runs");
    return;
  }
  const has = (gate: (typeof names)[number], is: boolean): void => expect(names.includes(gate) === is, `gate ${gate}`);
  has("running", false);
  has("final", false);
  has("paused", model.paused);
  has("ordering", row.state === "blocked");
  has("deadline", row.expires_at !== null && row.expires_at <= now);
  expect(names.some((gate) => gate === "schedule" || gate === "retry") === isLater(row, now), "its time");
  for (const [gate, closes] of Object.entries(CLOSED_BY)) {
    const closed = job.passages.filter((passage) => closes(passage, now)).length;
    expect(names.filter((name) => name === gate).length === closed, `${closed} gates of ${gate}`);
  }
  const buckets = job.passages.filter(({ gate }) => gate.rate !== null);
  const empty = ({ gate, cost }: Passage): boolean =>
    isClosed({ gate: { ...gate, holders: 0, closedUntil: 0 }, cost }, now);
  if (buckets.some(empty)) has("rate", true);
  if (buckets.length === 0) has("rate", false);
  const inLine = row.state === "ready" || (row.state === "scheduled" && row.run_at <= now);
  expect((said.position !== null) === inLine, "its place");
  expect(said.position === null || (said.position >= 0 && said.position <= model.ready.size), "its place in line");
  for (const { gate, until } of said.gates) expect(until === null || until > now, `gate ${gate} opens`);
  expect(said.etaMs === null || said.etaMs >= 0, "its time to go");
}

/** Whether a job waits for its time. */
function isLater({ state, run_at }: LiveRow, now: number): boolean {
  return state !== "ready" && run_at > now;
}

/** Lines of a job's log are its own, each once, in the order of its attempts. */
export function checkLogs(model: Model, { seq, logs }: JobRecord): void {
  if (!logs) return;
  const [count, lines] = JSON.parse(logs) as [number, LogTuple[]];
  const messages = lines.map(([, , message]) => message);
  const fences = messages.map((message) => Number(/^(.*)\/(\d+) \w+$/.exec(message)?.[2]));
  const own = messages.every((message) => message.startsWith(`${model.queue}:0:${seq}/`));
  const once = new Set(messages).size === messages.length && count === messages.length;
  const ordered = fences.every((fence, index) => fence >= (fences[index - 1] ?? 0));
  model.expect(own && once && ordered, "logs", () => `job ${seq} has ${count} lines: ${messages}`);
}
