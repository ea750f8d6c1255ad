/**
 * The queues of the suite of limits, and how they are driven.
 *
 * @module
 */
import type { SettingsPatch } from "../client/wire.ts";
import type { DriveAsk } from "./drive.ts";
import type { Millrace } from "./millrace.ts";
import { type Keyed, keyValue } from "./requests.ts";

/** Many short ones: what else the machine does then falls on all queues alike. */
export const ROUNDS = 40;
/** Jobs a claim, and claims a round. */
export const CLAIMS = [
  { want: 100, calls: 4 },
  { want: 10, calls: 16 },
] as const;
export const WAKES = 3;

const KEYS = 1_000;
const CLOSED = 900;
const HOT_JOBS = 100_000;
const FAIR_KEYS = 100_000;
export const FEW = 1_000;
export const MANY = 1_000_000;
/** Enough for every round to claim from. */
const SERVED = 30_000;
const WAITING = 60_000;
const SEEDED_A_CALL = 50_000;

interface Case {
  about: string;
  /** Its claims are held against those of this one. */
  beside: "plain" | "few" | null;
  /** Of its claims. */
  budget: number | null;
  /** As many jobs wait after each round as before. */
  level?: boolean;
  settings?: SettingsPatch;
  seed(queue: Queue): Promise<void>;
}

const HELD = CLOSED / 2;
const heldValues = Object.fromEntries(Array.from({ length: HELD }, (_, n) => [keyValue(n), { concurrency: 1 }]));

export const CASES: { [name in "plain" | "closed" | "hot" | "fair" | "few" | "many"]: Case } = {
  plain: {
    about: `plain: ${WAITING.toLocaleString("en-US")} jobs wait`,
    beside: null,
    budget: null,
    async seed(queue) {
      await queue.seed(HELD);
      await queue.drive("hold", { want: HELD });
      await queue.seed(WAITING);
    },
  },
  closed: {
    about: `as many over ${KEYS} keys, ${HELD} closed by concurrency, ${CLOSED - HELD} by a pause`,
    beside: "plain",
    budget: 1.5,
    settings: { limits: { tenant: { concurrency: 1_000, values: heldValues } } },
    async seed(queue) {
      await queue.seed(HELD, { kind: "tenant", first: 0, count: HELD });
      await queue.drive("hold", { want: HELD });
      await queue.drive("close", { keys: { kind: "tenant", first: HELD, count: CLOSED - HELD } });
      await queue.seed(WAITING - SERVED, { kind: "tenant", first: 0, count: KEYS });
      await queue.seed(SERVED, { kind: "tenant", first: CLOSED, count: KEYS - CLOSED });
    },
  },
  hot: {
    about: `plain ones behind ${HOT_JOBS.toLocaleString("en-US")} of one hot key, closed by concurrency`,
    beside: "plain",
    budget: 1.2,
    settings: { limits: { tenant: { values: { [keyValue(0)]: { concurrency: 1 } } } } },
    async seed(queue) {
      await queue.seed(HOT_JOBS, { kind: "tenant", first: 0, count: 1 });
      await queue.drive("hold", { want: 1 });
      await queue.seed(WAITING);
    },
  },
  fair: {
    about: `${FAIR_KEYS.toLocaleString("en-US")} fair keys with a job each`,
    beside: "plain",
    budget: null,
    seed: (queue) => queue.seed(FAIR_KEYS, { kind: "fair", first: 0, count: FAIR_KEYS }),
  },
  few: {
    about: `plain: ${FEW.toLocaleString("en-US")} jobs wait`,
    beside: null,
    budget: null,
    level: true,
    seed: (queue) => queue.seed(FEW),
  },
  many: {
    about: `plain: ${MANY.toLocaleString("en-US")} jobs wait`,
    beside: "few",
    budget: 1.2,
    level: true,
    seed: (queue) => queue.seed(MANY),
  },
};
export type Name = keyof typeof CASES;
export const NAMES = Object.keys(CASES) as Name[];
export const LEVEL: Name[] = ["few", "many"];

/** A queue of this suite, as it is driven. */
export interface Queue {
  name: string;
  seed(jobs: number, keys?: Keyed): Promise<void>;
  drive<Answer>(drive: string, ask?: Partial<DriveAsk>): Promise<Answer>;
}

export function queueOf(millrace: Millrace, name: string): Queue {
  const drive = <Answer>(what: string, ask: Partial<DriveAsk> = {}): Promise<Answer> =>
    millrace.call("drive", { queue: name, drive: what, ...ask });
  return {
    name,
    drive,
    async seed(jobs, keys) {
      for (let from = 0; from < jobs; from += SEEDED_A_CALL) {
        const part = Math.min(SEEDED_A_CALL, jobs - from);
        const rest = keys && { ...keys, first: keys.count > part ? keys.first + from : keys.first };
        await drive("seed", { jobs: part, keys: rest });
      }
    },
  };
}
