/**
 * Where the time of jobs goes inside the object: by RPC method and by SQL statement, while jobs run end to end.
 *
 * @module
 */
import type { NamedTiming } from "./counters.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { rounded, type SuiteReport, type Table } from "./report.ts";

const QUEUE = "profile";
const JOBS = 50_000;
const SHOWN = 24;
const NAME_CHARS = 70;

export async function runProfile(): Promise<SuiteReport> {
  const millrace = await startMillrace({ watch: true });
  try {
    await run(millrace, 5_000);
    const before = new Map((await millrace.call<NamedTiming[]>("timings")).map((timing) => [timing.what, timing]));
    const startedAt = performance.now();
    const enqueuedMs = await run(millrace, JOBS);
    const totalMs = performance.now() - startedAt;
    const spent = (await millrace.call<NamedTiming[]>("timings")).map((timing) =>
      since(before.get(timing.what), timing),
    );
    const seen = spent.filter(({ calls }) => calls > 0).sort((a, b) => b.ms - a.ms);
    return { json: { profile: seen }, tables: [toTable(seen, totalMs, enqueuedMs)] };
  } finally {
    await millrace.stop();
  }
}

async function run(millrace: Millrace, jobs: number): Promise<number> {
  const startedAt = performance.now();
  await millrace.call("enqueue", { queue: QUEUE, jobs, callers: 1 });
  const enqueuedMs = performance.now() - startedAt;
  await millrace.untilDone(QUEUE);
  return enqueuedMs;
}

function since(before: NamedTiming | undefined, { what, calls, ms, items, rows }: NamedTiming): NamedTiming {
  const from = before ?? { calls: 0, ms: 0, items: 0, rows: 0 };
  return {
    what: what.replace(/\s+/g, " ").trim().slice(0, NAME_CHARS),
    calls: calls - from.calls,
    ms: ms - from.ms,
    items: items - from.items,
    rows: rows - from.rows,
  };
}

function toTable(spent: NamedTiming[], totalMs: number, enqueuedMs: number): Table {
  const perJob = (ms: number): number => rounded((ms * 1_000) / JOBS, 2);
  return {
    title: `Profile: ${JOBS} jobs end to end in ${Math.round(totalMs)} ms, the enqueue ${Math.round(enqueuedMs)} of them (local runtime, while watched)`,
    columns: ["method, or SQL within", "us per job", "ms", "calls", "rows written"],
    rows: spent.slice(0, SHOWN).map(({ what, ms, calls, rows }) => [what, perJob(ms), ms, calls, rows, undefined]),
    notes: [
      "Methods count their synchronous part, with the SQL in it. What stands in no line is RPC, consumer and D1.",
    ],
  };
}
