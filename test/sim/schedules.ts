import { type JobTemplate, readOptions, type ScheduleInput } from "../../client/wire.ts";
import type { Cause } from "./host.ts";
import type { ModelJob } from "./model.ts";
import type { ScheduleRow } from "./tables.ts";

/** An instant that is this late at most is made, whatever is said of catching up. */
const PUNCTUAL_MS = 60_000;
/** Among so many of the latest that a schedule made are those looked for that have not ended. */
const LATEST_RUNS = 100;

/** When a schedule is due: expressions are few, and each is a plain series. */
export const CRONS: readonly { cron: string; timezone: string; periodMs: number; offsetMs: number }[] = [
  { cron: "* * * * *", timezone: "UTC", periodMs: 60_000, offsetMs: 0 },
  { cron: "30 * * * * *", timezone: "UTC", periodMs: 60_000, offsetMs: 30_000 },
  { cron: "*/5 * * * *", timezone: "Asia/Tokyo", periodMs: 300_000, offsetMs: 0 },
  { cron: "0 * * * *", timezone: "Asia/Kolkata", periodMs: 3_600_000, offsetMs: 1_800_000 },
];

interface Timing {
  periodMs: number;
  offsetMs: number;
  startAt: number;
  endAt: number;
}

function timingOf({ cron, timezone, everyMs, startAt, endAt }: ScheduleInput): Timing {
  const bounds = { startAt: startAt ?? Number.NEGATIVE_INFINITY, endAt: endAt ?? Number.POSITIVE_INFINITY };
  if (everyMs !== null) return { periodMs: everyMs, offsetMs: startAt ?? 0, ...bounds };
  const series = CRONS.find((one) => one.cron === cron && one.timezone === timezone)!;
  return { ...series, ...bounds };
}

/** The first instant at or after `from`; infinite: none. */
function firstFrom({ periodMs, offsetMs, startAt, endAt }: Timing, from: number): number {
  const least = Math.max(from, startAt);
  const instant = offsetMs + Math.ceil((least - offsetMs) / periodMs) * periodMs;
  return instant < endAt ? instant : Number.POSITIVE_INFINITY;
}

/** One schedule, and how far it has come. */
interface ModelSchedule {
  name: string;
  origin: "code" | "api";
  input: ScheduleInput;
  /** The next instant that nothing has been decided about. */
  next: number;
  paused: boolean;
}

/** A job that a transaction made for an instant. */
export interface Made {
  seq: number;
  name: string;
  instant: number;
}

/** What a schedule may have done within one transaction. */
interface Due {
  schedule: ModelSchedule;
  /** Exactly these instants must have had their job, in order. */
  instants: number[];
}

type Change = Extract<Cause, { kind: "schedule" }>;

/** The schedules of a queue: each instant has the jobs that its policy says, once, however late somebody looks. */
export class Schedules {
  readonly #schedules = new Map<string, ModelSchedule>();
  /** Jobs by instant, of every schedule that there ever was. */
  readonly #made = new Map<string, Map<number, number>>();
  /** Jobs that schedules made by themselves, or when they were told to. */
  readonly #own = new Map<string, Made[]>();

  /** Which schedule made what within this transaction, as it stood then. */
  readonly #makers = new Map<string, ModelSchedule>();
  /** How many each has made within this transaction. */
  readonly #fresh = new Map<string, number>();

  /** The template of a job that a schedule has just made. */
  templateOf({ name, instant }: Made, now: number): JobTemplate | null {
    const schedule = this.#makers.get(`${name} ${instant}`) ?? this.#schedules.get(name);
    if (!schedule) return null;
    const { template, overlap } = schedule.input;
    const orderingKey = overlap === "buffer-one" ? `schedule:${name}` : (template.orderingKey ?? null);
    return { ...template, runAt: Math.min(instant, now), delayMs: 0, orderingKey, schedule: { name, instant } };
  }

  /** Jobs that have to go for those that were made in this transaction. */
  othersOf(jobs: Map<number, ModelJob>): ModelJob[] {
    const greedy = [...this.#makers.values()].filter(({ input }) => input.overlap === "cancel-other");
    return [...new Set(greedy.map(({ name }) => name))].flatMap((name) => this.#unfinished(name, jobs, 0));
  }

  /** Of the latest that it made before this transaction, `fresh` of whose jobs come after them. */
  #unfinished(name: string, jobs: Map<number, ModelJob>, fresh: number): ModelJob[] {
    const own = this.#own.get(name)?.slice(-2 * LATEST_RUNS) ?? [];
    const before = own.flatMap(({ seq }) => jobs.get(seq) ?? []);
    return before.slice(Math.min(-1, fresh - LATEST_RUNS)).filter(({ live }) => live);
  }

  /**
   * A transaction: `code` are the schedules that code declares, where the object has just learned of them. Says what
   * is not as it must be. `jobs` as they were before.
   */
  transaction(
    cause: Cause,
    code: ReadonlyMap<string, ScheduleInput> | null,
    rows: Map<string, ScheduleRow>,
    made: Made[],
    now: number,
    jobs: Map<number, ModelJob>,
  ): string | null {
    this.#makers.clear();
    this.#fresh.clear();
    const due: Due[] = [];
    const left = new Map<string, Made[]>();
    for (const one of made) left.set(one.name, [...(left.get(one.name) ?? []), one]);
    if (code) this.#followCode(code, now, due, jobs);
    const change = cause?.kind === "schedule" ? cause : null;
    const asked = change && this.#change(change, rows, now, due, jobs);
    for (const schedule of this.#schedules.values()) this.#fire(schedule, rows, now, due, jobs);
    const wrong = asked ? this.#checkAsked(change!, asked, left, now) : null;
    if (wrong) return wrong;
    for (const { schedule, instants } of due) {
      const got =
        left
          .get(schedule.name)
          ?.splice(0, instants.length)
          .map(({ instant }) => instant) ?? [];
      if (JSON.stringify(got) !== JSON.stringify(instants)) {
        return `${schedule.name} (${describe(schedule)}) made ${got} at ${now}, not ${instants}`;
      }
    }
    const extra = [...left.values()].flat()[0];
    if (extra) return `${extra.name} made job ${extra.seq} for ${extra.instant} at ${now}, which was not due`;
    return this.#note(made, change?.verb === "backfill") ?? this.#compare(rows);
  }

  #followCode(code: ReadonlyMap<string, ScheduleInput>, now: number, due: Due[], jobs: Map<number, ModelJob>): void {
    for (const { name, origin } of [...this.#schedules.values()]) {
      if (origin === "code" && !code.has(name)) this.#schedules.delete(name);
    }
    for (const [name, input] of code) {
      const before = this.#schedules.get(name);
      if (before?.origin === "code" && JSON.stringify(before.input) === JSON.stringify(input)) continue;
      this.#set(name, "code", input, now, due, jobs);
    }
  }

  /** What is due by the old times is made; where the times stay, so does the next instant. */
  #set(
    name: string,
    origin: "code" | "api",
    input: ScheduleInput,
    now: number,
    due: Due[],
    jobs: Map<number, ModelJob>,
  ): void {
    const before = this.#schedules.get(name) ?? null;
    if (before) {
      this.#makeDue(before, firstFrom(timingOf(before.input), now + 1), now, due, jobs);
    }
    const timing = timingOf(input);
    const stays = before !== null && timesOf(before.input) === timesOf(input);
    const next = stays ? before.next : firstFrom(timing, now + 1);
    this.#schedules.set(name, { name, origin, input, next, paused: before?.paused ?? false });
  }

  /** Somebody changes a schedule, or makes jobs of it: the instants that are asked for then; null: none. */
  #change(
    { verb, name, input, from, to }: Change,
    rows: Map<string, ScheduleRow>,
    now: number,
    due: Due[],
    jobs: Map<number, ModelJob>,
  ): number[] | "now" | null {
    const schedule = this.#schedules.get(name);
    if (verb === "put" && input && schedule?.origin !== "code") {
      if (!schedule || JSON.stringify(schedule.input) !== JSON.stringify(input)) {
        this.#set(name, "api", input, now, due, jobs);
      }
    }
    if (!schedule) return null;
    if (verb === "remove" && schedule.origin === "api") this.#schedules.delete(name);
    if (verb === "pause") schedule.paused = true;
    if (verb === "resume") schedule.paused = false;
    if (verb === "run") return "now";
    if (verb !== "backfill" || from! >= to! || to! > now || !rows.has(name)) return null;
    const timing = timingOf(schedule.input);
    const instants: number[] = [];
    for (let at = firstFrom(timing, from!); at < to!; at = firstFrom(timing, at + 1)) instants.push(at);
    return instants.filter((at) => !this.#made.get(name)?.has(at));
  }

  #checkAsked({ name }: Change, asked: number[] | "now", left: Map<string, Made[]>, now: number): string | null {
    const made = left.get(name) ?? [];
    if (asked === "now") {
      const one = made.pop();
      const regular = one && firstFrom(timingOf(this.#schedules.get(name)!.input), one.instant) === one.instant;
      const right = one && !regular && one.instant >= now && one.instant < now + 1_000;
      return right ? null : `${name} was to run at ${now}, and made ${JSON.stringify(one)}`;
    }
    const got = made.splice(-asked.length, asked.length).map(({ instant }) => instant);
    return JSON.stringify(got) === JSON.stringify(asked) ? null : `${name} made ${got} afterwards, not ${asked}`;
  }

  /** Has it looked? Then all that was due has been decided about. */
  #fire(
    schedule: ModelSchedule,
    rows: Map<string, ScheduleRow>,
    now: number,
    due: Due[],
    jobs: Map<number, ModelJob>,
  ): void {
    const row = rows.get(schedule.name);
    const nextAt = row?.nextAt ?? Number.POSITIVE_INFINITY;
    if (!row || nextAt === schedule.next || schedule.paused) return;
    const all = firstFrom(timingOf(schedule.input), now + 1);
    this.#makeDue(schedule, schedule.input.jitterMs > 0 ? Math.min(all, nextAt) : all, now, due, jobs);
  }

  #makeDue(schedule: ModelSchedule, until: number, now: number, due: Due[], jobs: Map<number, ModelJob>): void {
    const { name, input, paused } = schedule;
    if (paused || schedule.next >= until || schedule.next > now) return;
    const timing = timingOf(input);
    const instants: number[] = [];
    for (let at = schedule.next; at < until && at <= now; at = firstFrom(timing, at + 1)) instants.push(at);
    schedule.next = until;
    const late = instants.filter((at) => at <= now - PUNCTUAL_MS && at >= now - input.catchUpWindowMs);
    const kept = input.catchUpMax === 0 ? [] : late.slice(-input.catchUpMax);
    const made = [];
    let fresh = this.#fresh.get(name) ?? 0;
    for (const at of [...kept, ...instants.filter((at) => at > now - PUNCTUAL_MS)]) {
      if (this.#made.get(name)?.has(at)) continue;
      const unfinished = this.#unfinished(name, jobs, fresh).length + fresh;
      if (input.overlap === "skip" && unfinished > 0) continue;
      if (input.overlap === "buffer-one" && unfinished > 1) continue;
      made.push(at);
      fresh += 1;
      this.#makers.set(`${name} ${at}`, { ...schedule });
    }
    this.#fresh.set(name, fresh);
    due.push({ schedule, instants: made });
  }

  #note(made: Made[], backfilled: boolean): string | null {
    for (const { name, instant, seq } of made) {
      const known = this.#made.get(name) ?? new Map<number, number>();
      this.#made.set(name, known);
      const before = known.get(instant);
      if (before !== undefined) return `${name} made jobs ${before} and ${seq} for ${instant}`;
      known.set(instant, seq);
      if (backfilled) continue;
      const own = this.#own.get(name) ?? [];
      own.push({ seq, name, instant });
      own.sort((a, b) => a.instant - b.instant);
      this.#own.set(name, own);
    }
    return null;
  }

  /** The tables must have come as far. */
  #compare(rows: Map<string, ScheduleRow>): string | null {
    for (const [name, schedule] of this.#schedules) {
      const row = rows.get(name);
      if (!row) return `${name} is not there any more`;
      const next = row.nextAt ?? Number.POSITIVE_INFINITY;
      if (schedule.paused !== row.paused) return `${name} is paused: ${row.paused}, and was to be: ${schedule.paused}`;
      if (next !== schedule.next) return `${name} (${describe(schedule)}) goes on at ${next}, not at ${schedule.next}`;
    }
    const other = [...rows.keys()].find((name) => !this.#schedules.has(name));
    return other === undefined ? null : `${other} is there, and nobody wants it`;
  }

  /** When something must have been made at the latest. */
  *dueBy(): Iterable<{ name: string; at: number }> {
    for (const { name, next, paused, input } of this.#schedules.values()) {
      if (!paused && Number.isFinite(next)) yield { name, at: next + input.jitterMs };
    }
  }

  names(): string[] {
    return [...this.#schedules.keys()];
  }
}

function timesOf({ cron, everyMs, timezone, startAt, endAt }: ScheduleInput): string {
  return JSON.stringify([cron, everyMs, timezone, startAt, endAt]);
}

function describe({ input, next, origin }: ModelSchedule): string {
  const { cron, everyMs, overlap, catchUpWindowMs, catchUpMax, jitterMs } = input;
  return `${origin}, ${cron ?? everyMs}, ${overlap}, ${catchUpMax} of ${catchUpWindowMs} ms, jitter ${jitterMs}, next ${next}`;
}

/** The schedule that made a job, by its options. */
export function madeBy(seq: number, options: string): Made | null {
  const { schedule } = readOptions(options);
  return schedule && { seq, ...schedule };
}
