/**
 * What the suite of limits found, for people and as JSON.
 *
 * @module
 */
import type { Heap } from "./heap.ts";
import type { Found, Times } from "./limits.ts";
import { CASES, CLAIMS, FEW, MANY, NAMES, ROUNDS, WAKES } from "./limits-cases.ts";
import type { KeyedRows } from "./limits-rows.ts";
import { type Budget, median, rounded, type SuiteReport, type Table } from "./report.ts";
import { JOBS_PER_CALL } from "./requests.ts";

/** The middle of the ratios that were found round by round. */
function ratioOf(times: Times, name: string, beside: string): number {
  return rounded(median(times[name]!.map((ms, round) => ms / Math.max(0.05, times[beside]![round]!))), 3);
}

const msOf = (times: Times, name: string): number => rounded(median(times[name]!), 2);
const atMost = (most: number | null): Budget | undefined => (most === null ? undefined : { most });

export function toReport(found: Found, rows: KeyedRows, heap: Heap[]): SuiteReport {
  const claimRatio = Object.fromEntries(
    CLAIMS.map(({ want }, index) => {
      const compared = NAMES.flatMap((name) => {
        const { beside } = CASES[name];
        return beside ? [[name, ratioOf(found.claims[index]!, name, beside)]] : [];
      });
      return [`of${want}`, Object.fromEntries(compared) as { [name: string]: number }];
    }),
  );
  const [few, many] = heap;
  const limits = {
    claimRatio,
    wakeMs: Object.fromEntries(NAMES.map((name) => [name, msOf(found.wakes, name)])),
    million: {
      enqueueRatio: ratioOf(found.enqueues, "many", "few"),
      getRatio: ratioOf(found.gets, "many", "few"),
      heapGrowthMb: rounded(many!.usedMb - few!.usedMb, 2),
    },
    rows,
  };
  return { json: { limits }, tables: [...claimTables(found), millionTable(found, heap), rowsTable(rows)] };
}

function claimTables(found: Found): Table[] {
  const claims = CLAIMS.map(({ want, calls }, index): Table => {
    const times = found.claims[index]!;
    return {
      title: `A claim of ${want} jobs (local runtime; median of ${ROUNDS} rounds of ${calls} in turns)`,
      columns: ["", "ratio", "ms"],
      rows: NAMES.map((name) => {
        const { about, beside, budget } = CASES[name];
        return [about, beside ? ratioOf(times, name, beside) : 1, msOf(times, name), atMost(budget)];
      }),
      notes: [`Ratios are to the nearest "plain" above.`],
    };
  });
  const wakes: Table = {
    title: `The first claim of ${CLAIMS[0].want} after the object was put to sleep, ms (median of ${WAKES})`,
    columns: ["", "ms", "made within, ms"],
    rows: NAMES.map((name) => [CASES[name].about, msOf(found.wakes, name), Math.round(found.seedMs[name]!), undefined]),
  };
  return [...claims, wakes];
}

function millionTable({ enqueues, gets }: Found, heap: Heap[]): Table {
  const [few, many] = heap;
  const row = (what: string, times: Times): Table["rows"][number] => [
    what,
    ratioOf(times, "many", "few"),
    msOf(times, "few"),
    msOf(times, "many"),
    { most: 1.2 },
  ];
  const [fewMb, manyMb] = [rounded(few!.usedMb, 2), rounded(many!.usedMb, 2)];
  return {
    title: `${MANY.toLocaleString("en-US")} jobs waiting beside ${FEW.toLocaleString("en-US")} (local runtime)`,
    columns: ["", "ratio", "few", "many"],
    rows: [
      row(`bulk enqueue of ${JOBS_PER_CALL} until on disk, ms`, enqueues),
      row("GET of the queue over HTTP, ms", gets),
      ["heap of the engine, MB: the difference", rounded(manyMb - fewMb, 2), fewMb, manyMb, { most: 1 }],
    ],
    notes: ["The heap is that of a process which runs the engine alone, on node:sqlite, after collecting garbage."],
  };
}

function rowsTable(rows: KeyedRows): Table {
  return {
    title: "Object rows written a job, with a key that has a concurrency and a rate limit (local runtime)",
    columns: ["", "more than plain", "plain", "keyed"],
    rows: [
      ["lone, each job with a key of its own", rows.lone.more, rows.lone.plain, rows.lone.keyed, { most: 4 }],
      ["bulk, 20 requests of 1,000 jobs over 50 keys", rows.bulk.more, rows.bulk.plain, rows.bulk.keyed, { most: 0.2 }],
    ],
    notes: ["Counted until the object sleeps, later removal of lanes and buckets included."],
  };
}
