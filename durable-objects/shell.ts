/**
 * A queue around its engine: each call, and the alarm, is a verb that the runner runs. All decisions are the engine's.
 *
 * @module
 */
import type {
  BulkInput,
  BulkReply,
  EnqueueInput,
  EnqueueReply,
  ExchangeInput,
  ExchangeReply,
  ExplainReply,
  JobRecord,
  KeyName,
  KeyReport,
  ListInput,
  ListReply,
  Parcel,
  ParcelReply,
  PokeReply,
  QueueDescription,
  QueueRpc,
  Reply,
  Rollup,
  ScheduleInput,
  ScheduleReport,
  SettingsPatch,
} from "../client/wire.ts";
import { bulk } from "./bulk.ts";
import { setting } from "./engine/books.ts";
import { trimBuckets } from "./engine/buckets.ts";
import type { Engine } from "./engine/engine.ts";
import { enqueue } from "./engine/enqueue.ts";
import { exchange } from "./engine/exchange.ts";
import { explain } from "./engine/explain.ts";
import { takeParcels } from "./engine/follow-ups.ts";
import { isForgotten } from "./engine/forget.ts";
import { describe, get, idOf } from "./engine/inspect.ts";
import { listKeys, pauseKey, trimClosures } from "./engine/keys.ts";
import { list } from "./engine/list.ts";
import * as operate from "./engine/operate.ts";
import { rollupBetween, trimOutbox } from "./engine/outbox.ts";
import type { StandingWant, Tx } from "./engine/ports.ts";
import { trimKeys } from "./engine/requests.ts";
import * as schedules from "./engine/schedules.ts";
import { DEFAULT_SETTINGS } from "./engine/settings.ts";
import { leave, standingWant } from "./engine/standing.ts";
import { readyCount } from "./engine/tally.ts";
import { trimUniques } from "./engine/unique.ts";
import { nextDue, wake } from "./engine/wake.ts";
import { forgetQueue } from "./forget.ts";
import { notFound, onJob } from "./on-job.ts";
import type { ShellPorts } from "./ports.ts";
import { Runner } from "./runner.ts";

/** When an alarm's work failed. Cut short, nothing of its turn is kept, and the platform runs it again. */
const ALARM_FALLBACK_MS = 30_000;
const READ_TIMEOUT_MS = 10_000;

export class QueueShell implements Omit<QueueRpc, "dismiss"> {
  readonly #ports: ShellPorts;
  readonly #runner: Runner;

  constructor(ports: ShellPorts, engine?: Engine) {
    this.#ports = ports;
    this.#runner = new Runner(ports, engine);
  }

  /** To be awaited before anything else: learns whether an alarm is set. Writes nothing. */
  async start(): Promise<void> {
    this.#runner.armedAt = await this.#ports.alarm.get();
  }

  async enqueue(input: EnqueueInput): Promise<EnqueueReply> {
    const reply = this.#runner.run((tx) => enqueue(tx, input));
    if (reply.ok) await this.#runner.register();
    return reply;
  }

  async exchange(input: ExchangeInput): Promise<ExchangeReply> {
    // A ticket for a queue that nothing was ever written to must not make its tables.
    if (!this.#runner.exists()) return nothingHere(input);
    return this.#runner.run((tx) => exchange(tx, input));
  }

  /** What a session wants after its exchange; of a queue that nothing was ever written to, all that it asked for. */
  standing(input: ExchangeInput): StandingWant | null {
    if (!this.#runner.exists()) return standingWant(input, input.want);
    return this.#runner.look((tx) => tx.books.standing.get(input.session) ?? null);
  }

  /** Reads; null where nothing was ever written. */
  look<Result>(look: (tx: Tx) => Result): Result | null {
    return this.#runner.look(look);
  }

  /** A session can be told nothing any more. */
  leave(session: string): void {
    this.#runner.look((tx) => leave(tx, session));
  }

  async deliver(parcels: Parcel[]): Promise<ParcelReply[]> {
    const replies = this.#runner.run((tx) => takeParcels(tx, parcels));
    if (replies.some(({ ok }) => ok)) await this.#runner.register();
    return replies;
  }

  async get(seq: number, logs = false): Promise<JobRecord | "deleted" | null> {
    return this.#runner.look((tx) => get(tx, seq, logs));
  }

  async list(input: ListInput): Promise<ListReply> {
    return this.#runner.look((tx) => list(tx, input)) ?? { items: [], scannedTo: null, hidden: [] };
  }

  async cancel(seq: number): Promise<Reply<{ job: JobRecord }>> {
    return onJob(this.#ports, this.#runner, seq, operate.cancel, (_tx, found) => operate.cancelFinished(found));
  }

  async retry(seq: number): Promise<Reply<{ job: JobRecord }>> {
    const done = await onJob(this.#ports, this.#runner, seq, operate.retry, (tx, found) =>
      found ? operate.reopen(tx, found) : "absent",
    );
    if (done.ok) await this.#runner.register();
    return done;
  }

  async remove(seq: number): Promise<Reply<object>> {
    const inObject = (tx: Tx) => operate.remove(tx, seq, null);
    return onJob(this.#ports, this.#runner, seq, inObject, (tx, found) => operate.remove(tx, seq, found));
  }

  async describe(): Promise<QueueDescription | null> {
    const described = this.#runner.look((tx) => (isForgotten(tx) ? null : describe(tx, this.#runner.armedAt)));
    if (!described || !this.#ports.sockets) return described;
    const { sockets, ...counted } = this.#ports.sockets.figures();
    return { ...described, sockets, metrics: { ...described.metrics, ...counted } };
  }

  async pause(reason: string | null): Promise<Reply<{ queue: QueueDescription }>> {
    this.#runner.run((tx) => operate.pause(tx, reason));
    await this.#runner.register();
    return { ok: true, queue: (await this.describe())! };
  }

  async resume(): Promise<Reply<{ queue: QueueDescription }>> {
    this.#runner.run((tx) => operate.resume(tx));
    await this.#runner.register();
    return { ok: true, queue: (await this.describe())! };
  }

  async configure(patch: SettingsPatch): Promise<Reply<{ settings: QueueDescription["settings"] }>> {
    const refused = this.#runner.run((tx) => operate.configure(tx, this.#ports.settings, patch));
    if (refused) return refused;
    await this.#runner.register();
    return { ok: true, settings: (await this.describe())!.settings };
  }

  async keys(kind: string | null, after?: KeyName | null, limit?: number): Promise<KeyReport[]> {
    return this.#runner.look((tx) => listKeys(tx, kind, after, limit)) ?? [];
  }

  async pauseKey(
    kind: string,
    value: string,
    forMs: number,
    reason: string | null,
  ): Promise<Reply<{ key: KeyReport }>> {
    return this.#change((tx) => pauseKey(tx, kind, value, forMs, reason));
  }

  async explain(seq: number): Promise<Reply<{ explanation: ExplainReply }>> {
    const explanation = this.#runner.look((tx) => explain(tx, seq, (other) => idOf(this.#ports, other)));
    return explanation ? { ok: true, explanation } : notFound(idOf(this.#ports, seq));
  }

  async schedules(after: string | null, limit: number): Promise<ScheduleReport[]> {
    return this.#lookAtSchedules((tx) => schedules.list(tx, after, limit)) ?? [];
  }

  async schedule(name: string): Promise<ScheduleReport | null> {
    return this.#lookAtSchedules((tx) => schedules.get(tx, name));
  }

  async putSchedule(name: string, input: ScheduleInput) {
    return this.#change((tx) => schedules.put(tx, name, input));
  }

  async removeSchedule(name: string): Promise<Reply<object>> {
    return this.#change((tx) => schedules.remove(tx, name));
  }

  async runSchedule(name: string): Promise<Reply<{ seq: number }>> {
    return this.#change((tx) => schedules.runNow(tx, name));
  }

  async pauseSchedule(name: string, paused: boolean, reason: string | null) {
    return this.#change((tx) => schedules.pause(tx, name, paused, reason));
  }

  async backfill(name: string, from: number, to: number): Promise<Reply<{ jobs: number[]; already: number }>> {
    return this.#change((tx) => schedules.backfill(tx, name, from, to));
  }

  async bulk(input: BulkInput): Promise<BulkReply> {
    if (!this.#runner.exists()) return input.jobs.map(() => "absent");
    const { history, queue, partition, within } = this.#ports;
    const answers = await bulk(input, {
      run: (verb) => this.#runner.run(verb),
      readMany: (seqs) => within(READ_TIMEOUT_MS, history.readMany(queue, partition, seqs)),
    });
    // A retry brings back a queue that was deleted, as an enqueue does.
    if (input.action === "retry" && answers.includes("changed")) await this.#runner.register();
    return answers;
  }

  async forget(): Promise<Reply<{ upto: number }>> {
    return forgetQueue(this.#ports, this.#runner);
  }

  async rollupSince(upto: number): Promise<Rollup> {
    return this.#runner.look((tx) => rollupBetween(tx, upto, tx.books.nextOutboxId)) ?? {};
  }

  /** The second waker: does what the alarm would, and tidies what needs no hurry. */
  async poke(): Promise<PokeReply | null> {
    if (!this.#runner.exists() && !this.#ports.schedules) return null;
    // What is set is looked up and not believed: to find a lost alarm is what this is for.
    this.#runner.armedAt = await this.#ports.alarm.get();
    this.#runner.run((tx) => {
      wake(tx);
      trimOutbox(tx);
      trimKeys(tx);
      trimUniques(tx);
      schedules.trim(tx);
      trimBuckets(tx);
      trimClosures(tx);
    });
    await this.#runner.registerAgain();
    await this.#runner.flusher.flush();
    return this.#runner.look((tx) => ({
      nextWakeAt: this.#runner.armedAt,
      paused: tx.books.paused !== null,
      schedules: this.#ports.schedules?.version,
      historyKeepMs: setting(tx.books, "historyKeepMs"),
      historyKeepDeadMs: setting(tx.books, "historyKeepDeadMs"),
    }));
  }

  /** The alarm's handler. Never throws: an alarm that throws for some minutes is never run again. */
  async alarm(): Promise<void> {
    const dueAt = this.#runner.armedAt;
    this.#runner.armedAt = null;
    try {
      const next = this.#runner.look((tx) => {
        tx.books.metrics.alarms += 1;
        tx.books.metrics.alarmLatenessMs = dueAt === null ? 0 : Math.max(0, tx.now - dueAt);
        return nothingToSend(tx) ? nextDue(tx) : tx.now;
      });
      if (next === null || next === Number.POSITIVE_INFINITY) return;
      if (next > this.#ports.now()) return this.#runner.arm(next);
      // Nothing is awaited: no alarm comes while one is at work, and a slow history must not hold up what is due.
      this.#runner.run(wake);
      this.#ports.background(this.#runner.registerAgain());
    } catch (error) {
      this.#runner.arm(this.#ports.now() + ALARM_FALLBACK_MS);
      this.#ports.log("error", "alarm_failed", { queue: this.#ports.queue, error: String(error) });
    }
  }

  /** A change that may be the queue's first, or the first since it was deleted. */
  async #change<Done extends { ok: boolean }>(verb: (tx: Tx) => Done): Promise<Done> {
    const done = this.#runner.run(verb);
    if (done.ok) await this.#runner.register();
    return done;
  }

  /** A queue that nobody has used has those of the code all the same: it is made when they are looked at. */
  #lookAtSchedules<Result>(look: (tx: Tx) => Result): Result | null {
    return this.#ports.schedules ? this.#runner.run(look) : this.#runner.look(look);
  }
}

function nothingHere({ n, holding, settle }: ExchangeInput): ExchangeReply {
  const { leaseMs, slots } = DEFAULT_SETTINGS;
  const refused = settle.map(({ seq, fence }) => ({ seq, fence, code: "not_held" }));
  return { ok: true, n, jobs: "[]", lost: holding, refused, cancel: [], leaseMs, slots, retryInMs: null };
}

/** Ready work that waits for a worker means that tickets are to be looked at. */
function nothingToSend(tx: Tx): boolean {
  return tx.books.paused !== null || readyCount(tx.books) === 0;
}
