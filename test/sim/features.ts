import { Random } from "./random.ts";

/** What the jobs and the users of one run may ask for. Each run has its own mix. */
export interface Features {
  /** Keys of kinds, limits of concurrency by queue, task and kind. */
  limits: boolean;
  /** Token buckets. */
  rates: boolean;
  /** Keys closed by people and by handlers. */
  closures: boolean;
  fairness: boolean;
  ageing: boolean;
  ordering: boolean;
  unique: boolean;
  deadlines: boolean;
  followUps: boolean;
  schedules: boolean;
  /** One thing done to many jobs. */
  bulk: boolean;
  /** Attempts that may take long, which other tickets bring workers for. */
  long: boolean;
  /** Workers that connect, for all tasks or for those that consumers do not run. */
  remote: boolean;
  /** Tasks that take jobs many at a time. */
  takes: boolean;
}

const NAMES: readonly (keyof Features)[] = [
  "limits",
  "rates",
  "closures",
  "fairness",
  "ageing",
  "ordering",
  "unique",
  "deadlines",
  "followUps",
  "schedules",
  "bulk",
  "long",
  "remote",
  "takes",
];

/** Some of the features, by seed; `only` of them where named. */
export function drawFeatures(seed: number, only: string | null = null): Features {
  const random = new Random(seed ^ 0x5eed);
  const wanted = only?.split(",");
  const drawn = NAMES.map((name) => {
    const luck = random.chance(0.55);
    return [name, wanted ? wanted.includes(name) : luck];
  });
  return Object.fromEntries(drawn) as Features;
}
