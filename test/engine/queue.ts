import { expect } from "vitest";
import type { Backoff } from "../../client/types.ts";
import {
  type EnqueueInput,
  type ExchangeInput,
  type ExchangeReply,
  type JobRecord,
  type JobTemplate,
  type LeasedTuple,
  recordOf,
  type SettingsPatch,
  type WireOutcome,
} from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { get } from "../../durable-objects/engine/inspect.ts";
import { configure } from "../../durable-objects/engine/operate.ts";
import type {
  CodeSchedules,
  CodeSettings,
  Effects,
  Row,
  StandingWant,
  Storage,
  Tx,
} from "../../durable-objects/engine/ports.ts";
import { leave } from "../../durable-objects/engine/standing.ts";
import { wake } from "../../durable-objects/engine/wake.ts";
import { nobodyWatches } from "../../durable-objects/engine/watch.ts";
import { PLAIN } from "../support/template.ts";

/** One test of the engine, to be run on every storage it claims to run on. Synchronous, as the engine is. */
export interface Case {
  name: string;
  run(queue: TestQueue): void;
}

export interface CountingStorage extends Storage {
  /** Rows written so far, as they are billed; absent where nobody counts them. */
  rowsWritten?(): number;
}

type Ok = Extract<ExchangeReply, { ok: true }>;
type Turn = Partial<Omit<ExchangeInput, "session">>;

export const TEMPLATE: JobTemplate = {
  ...PLAIN,
  task: "mail",
  maxAttempts: 3,
  backoff: { type: "fixed", delay: "1m", jitter: 0 } as Backoff,
  timeoutMs: 10_000,
};

export const ERROR = { name: "TypeError", message: "no such user", stack: "TypeError: no such user\n  at mail" };

const TABLES =
  "meta lanes jobs sessions outbox idempotency buckets closures uniques outgoing schedules schedule_runs".split(" ");

/** An engine with a clock that stands still until it is moved. */
export class TestQueue {
  readonly storage: CountingStorage;
  now = Date.UTC(2026, 5, 1);
  random = 0;
  effects: Effects = {
    ...{ tickets: [], wakeAt: null, flush: false, deliver: false, handouts: [], silent: [] },
    changes: null,
  };
  /** Who watches. */
  watched = nobodyWatches();
  /** What code declares, from the next start on. */
  schedules: CodeSchedules | undefined;
  /** Whether workers that tickets wake run jobs of a task. */
  pushes: (task: string) => boolean = () => true;
  /** Sessions whose sockets give no sign of life. */
  readonly dead = new Set<string>();
  /** What is kept with the sockets of sessions: as the books had it when they were told of something last. */
  readonly sockets = new Map<string, StandingWant>();
  #engine: Engine;
  #settings: CodeSettings = {};
  readonly #n = new Map<string, number>();

  constructor(storage: CountingStorage) {
    this.storage = storage;
    this.#engine = this.#open();
  }

  #open(): Engine {
    return new Engine({
      queue: "mail",
      partition: 0,
      storage: this.storage,
      settings: this.#settings,
      schedules: this.schedules,
      random: () => this.random,
      pushes: (task) => this.pushes(task),
      alive: (session) => !this.dead.has(session),
      watched: this.watched,
      standing: () => [...this.sockets.values()].map((want) => structuredClone(want)),
    });
  }

  /** The object goes, and comes back with nothing but its storage. */
  restart(settings: CodeSettings = this.#settings): void {
    this.#settings = settings;
    this.#engine = this.#open();
  }

  write<Result>(verb: (tx: Tx) => Result): Result {
    const { result, effects } = this.#engine.write(this.now, verb);
    this.effects = effects;
    for (const { session } of effects.handouts) this.#keep(session);
    for (const session of effects.silent) this.sockets.delete(session);
    return result;
  }

  read<Result>(look: (tx: Tx) => Result): Result {
    return this.#engine.read(this.now, look)!;
  }

  /** Time goes by, and the alarm comes. */
  pass(ms: number): void {
    this.now += ms;
    this.write(wake);
  }

  /** Enqueues jobs that are alike and answers with their ids. */
  add(options: Partial<JobTemplate> = {}, count = 1, more: Partial<EnqueueInput> = {}): number[] {
    const reply = this.enqueue({
      templates: [{ ...TEMPLATE, ...options }],
      jobs: Array.from({ length: count }, () => [0, '{"to":"ü€😀"}']),
      requestId: null,
      idempotency: null,
      ...more,
    });
    if (!reply.ok) throw new Error(reply.detail);
    return reply.jobs.map((job) => job.seq);
  }

  enqueue(input: EnqueueInput) {
    return this.write((tx) => enqueue(tx, input));
  }

  /** One exchange under the session's next number. */
  turn(session: string, turn: Turn = {}): Ok {
    const reply = this.exchange(session, turn);
    if (!reply.ok) throw new Error(reply.detail);
    return reply;
  }

  exchange(session: string, turn: Turn = {}): ExchangeReply {
    const n = turn.n ?? (this.#n.get(session) ?? 0) + 1;
    this.#n.set(session, Math.max(n, this.#n.get(session) ?? 0));
    const input: ExchangeInput = {
      session,
      n,
      worker: { name: `worker of ${session}`, runtime: "test" },
      channel: null,
      holding: [],
      settle: [],
      progress: [],
      want: 0,
      ...turn,
    };
    const reply = this.write((tx) => exchange(tx, input));
    this.#keep(session);
    return reply;
  }

  #keep(session: string): void {
    const want = this.read((tx) => tx.books.standing.get(session));
    if (want) this.sockets.set(session, structuredClone(want));
    else this.sockets.delete(session);
  }

  /** The session's socket is closed. */
  leave(session: string): void {
    this.sockets.delete(session);
    this.read((tx) => leave(tx, session));
  }

  /** Claims and answers with `[seq, fence]` of each job. */
  claim(session: string, want = 500, turn: Turn = {}): [seq: number, fence: number][] {
    return given(this.turn(session, { want, ...turn }));
  }

  /** Claims one job and settles it at once. */
  run(outcome: Omit<WireOutcome, "seq" | "fence">, session = `run${this.#n.size}`): { seq: number; fence: number } {
    const [seq, fence] = this.claim(session, 1)[0]!;
    const { refused } = this.turn(session, { settle: [{ seq, fence, ...outcome }] });
    if (refused.length > 0) throw new Error(`The settle was refused: ${refused[0]!.code}`);
    return { seq, fence };
  }

  /** The job as the object has it. */
  job(seq: number): JobRecord {
    const record = this.read((tx) => get(tx, seq));
    if (record === null || record === "deleted") throw new Error(`There is no job ${seq}`);
    return record;
  }

  rows(query: string, ...params: (string | number)[]): Row[] {
    return this.storage.sql.exec(query, ...params);
  }

  /** What would go to the history, newest last. */
  outbox(): JobRecord[] {
    return this.rows("SELECT body FROM outbox WHERE kind = 'history' ORDER BY id").flatMap((row) =>
      JSON.parse(String(row.body)).map(recordOf),
    );
  }

  /** Everything that is stored: what a refusal must not change. */
  everything(): string {
    return JSON.stringify(TABLES.map((table) => this.rows(`SELECT * FROM ${table}`)));
  }

  /** The statements that `run` takes. */
  statements(run: () => unknown): string[] {
    const { sql } = this.storage;
    const { exec } = sql;
    const taken: string[] = [];
    sql.exec = (query, ...params) => {
      taken.push(query.trim());
      return exec.call(sql, query, ...params);
    };
    run();
    sql.exec = exec;
    return taken;
  }
}

export function given(reply: Pick<Ok, "jobs">): [seq: number, fence: number][] {
  return (JSON.parse(reply.jobs) as LeasedTuple[]).map(([seq, , , , fence]) => [seq, fence]);
}

export const seqs = (jobs: [seq: number, fence: number][]): number[] => jobs.map(([seq]) => seq);

export const done = ([seq, fence]: [seq: number, fence: number]) => ({ seq, fence, outcome: "completed" as const });

export function set(queue: TestQueue, patch: SettingsPatch): void {
  expect(queue.write((tx) => configure(tx, {}, patch))).toBeNull();
}

/** Runs what must throw within a transaction of the storage, and answers with the message. */
export function thrown(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was thrown";
}
