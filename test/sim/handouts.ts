import type { ExchangeInput, Handout, LeasedTuple } from "../../client/wire.ts";
import type { StandingWant } from "../../durable-objects/engine/ports.ts";
import { checkClaims } from "./claims.ts";
import type { Cause, Host, Incarnation } from "./host.ts";
import type { Model } from "./model.ts";
import type { LiveRow, SessionRow } from "./tables.ts";

/** Heard so lately, a session must be handed what there is; longer ago, nothing any more. The wall clock may be put back by 3 s. */
const SURELY_ALIVE_MS = 45_000;
const SURELY_SILENT_MS = 53_100;

/** What the latest transaction has to do with sessions that stand ready. */
interface Round {
  cause: Cause;
  now: number;
  /** By the sockets before, and by the books after. */
  stood: ReturnType<Host["links"]["standing"]>;
  stands: Map<string, StandingWant>;
  claimed: Map<string, LiveRow[]>;
  sessionsBefore: Map<string, SessionRow>;
}

/** What sessions with sockets want, are handed and are told. */
export class Handouts {
  readonly #model: Model;
  readonly #host: Host;
  #incarnation: Incarnation | null = null;
  #stands = new Map<string, StandingWant>();
  /** What must leave the object in the turn of the latest transaction: `seq/fence`, and `cancel seq/fence`. */
  #commits = 0;
  #settled = "";
  readonly #untold = new Set<string>();
  /** Running jobs that are known to be cancelled. */
  #cancelled = new Set<string>();
  /** What each session wants, by its exchanges and what it was given since. */
  #wants = new Map<string, { n: number; want: number }>();
  /** The latest exchange of a session that came by no socket. */
  readonly #plain = new Map<string, number>();
  /** What the latest transaction handed out. */
  #handed = new Set<number>();

  constructor(model: Model, host: Host) {
    this.#model = model;
    this.#host = host;
  }

  /** Whether a job may have been handed to a session in the transaction that has just been made. */
  mayHave(incarnation: Incarnation, session: string): boolean {
    return this.#host.deps.remote !== null && standingOf(incarnation).has(session);
  }

  /** Answers the set that will hold what is handed out beside the exchange's answer. */
  committed(
    incarnation: Incarnation,
    cause: Cause,
    claimed: LiveRow[],
    sessionsBefore: Map<string, SessionRow>,
  ): Set<number> {
    if (!this.#host.deps.remote) return this.#handed;
    this.#checkTold();
    this.#handed = new Set();
    this.#commits += 1;
    this.#incarnation = incarnation;
    const round: Round = {
      cause,
      now: incarnation.now,
      stood: this.#host.links.standing(),
      stands: standingOf(incarnation),
      claimed: Map.groupBy(claimed, ({ session }) => session!),
      sessionsBefore,
    };
    this.#stands = round.stands;
    const own = ownOf(cause);
    if (own && own.standing !== true) this.#plain.set(own.session, own.n);
    for (const [session, want] of round.stands) this.#checkWant(round, session, want);
    for (const session of round.stood.keys()) this.#checkGone(round, session);
    for (const [session, rows] of round.claimed) if (session !== own?.session) this.#checkHanded(round, session, rows);
    this.#noteCancels(own?.session);
    for (const [session, want] of round.stands) this.#checkIdle(round, session, want);
    return this.#handed;
  }

  /** What a session wants is what its exchange asked for, less what it was given since. */
  #checkWant({ cause, stood, stands, claimed }: Round, session: string, want: StandingWant): void {
    const model = this.#model;
    const own = ownOf(cause);
    const given = claimed.get(session)?.length ?? 0;
    const before = this.#wants.get(session) ?? stood.get(session)?.want;
    let most = before?.want;
    if (own?.session === session && own.n === want.n) {
      const named = new Set([...own.holding.map(([seq]) => seq), ...own.settle.map(({ seq }) => seq)]);
      for (const { seq } of claimed.get(session) ?? []) named.add(seq);
      const again = (model.sessions.get(session)?.held ?? []).filter(({ seq }) => !named.has(seq)).length;
      most = Math.max(0, own.want - again);
      model.expect(own.standing === true, "handouts", () => `${session} stands, and has no socket`);
    } else if (own?.session === session && most === undefined) return;
    else {
      const right = before?.n === want.n;
      model.expect(right, "handouts", () => `${session} #${want.n} stands, and its socket says otherwise`);
    }
    const wants = stands.get(session)!.want;
    this.#wants.set(session, { n: want.n, want: wants });
    // What was gathered beside it is wanted still.
    const gathered = own?.session === session && own.n === want.n ? Math.min(given, own.gather?.want ?? 0) : 0;
    const least = (most ?? 0) - given;
    model.expect(
      wants >= Math.max(0, least) && wants <= least + gathered,
      "handouts",
      () => `${session} wanted ${most}, was handed ${given}, and wants ${wants}`,
    );
  }

  /** Who stands no more has been silent, or its lease was over. */
  #checkGone({ cause, stood, stands, sessionsBefore, now }: Round, session: string): void {
    if (stands.has(session) || ownOf(cause)?.session === session || this.#plain.has(session)) return;
    const { takenAt } = stood.get(session)!;
    const over = (sessionsBefore.get(session)?.leaseUntil ?? Number.POSITIVE_INFINITY) <= now;
    const silent = this.#model.time - takenAt > SURELY_ALIVE_MS;
    this.#model.expect(over || silent, "handouts", () => `${session} is there, and stands no more`);
  }

  #checkHanded({ stood, stands }: Round, session: string, rows: LiveRow[]): void {
    const model = this.#model;
    model.expect(
      stands.has(session),
      "fence",
      () => `job ${rows[0]!.seq} was given to ${session}, which does not stand`,
    );
    const silentMs = model.time - (stood.get(session)?.heardAt ?? 0);
    model.expect(
      silentMs <= SURELY_SILENT_MS,
      "handouts",
      () => `${session} was handed job ${rows[0]!.seq}, silent for ${silentMs} ms`,
    );
    for (const { seq, fence } of rows) this.#untold.add(`${seq}/${fence}`);
  }

  /** Who stands ready is told of a cancel at once. */
  #noteCancels(own: string | undefined): void {
    const model = this.#model;
    const known = new Set<string>();
    for (const { id, held } of model.sessions.values()) {
      for (const { seq, fence } of held) {
        if (model.jobs.get(seq)?.live?.cancel_requested_at == null) continue;
        const name = `${seq}/${fence}`;
        known.add(name);
        if (!this.#cancelled.has(name) && id !== own && this.#isAlive(id)) this.#untold.add(`cancel ${name}`);
      }
    }
    this.#cancelled = known;
  }

  #isAlive(session: string): boolean {
    const takenAt = this.#host.links.standing().get(session)?.takenAt;
    return this.#stands.has(session) && takenAt !== undefined && this.#model.time - takenAt <= SURELY_ALIVE_MS;
  }

  /** Nothing that a session with room could have been given waits, and what it was given came in order. */
  #checkIdle({ cause, stood, claimed, now }: Round, session: string, { want, tasks }: StandingWant): void {
    const model = this.#model;
    const rows = claimed.get(session) ?? [];
    const row = model.sessions.get(session);
    if ((want === 0 && rows.length === 0) || ownOf(cause)?.session === session || !stood.has(session)) return;
    const holding = (row?.held ?? [])
      .filter(({ seq }) => !rows.some((one) => one.seq === seq))
      .map(({ seq, fence }): [number, number] => [seq, fence]);
    const worker = { name: "", runtime: "sim", ...(tasks && { tasks }) };
    const taker = { session, channel: null, worker, holding, settle: [], want: want + rows.length };
    const starved = checkClaims(model, taker, rows, now);
    if (starved === null || !this.#isAlive(session) || (row && row.leaseUntil <= now)) return;
    model.fail("work-conserving", starved);
  }

  /** Handouts leave the object: what was claimed for each session, and nothing else. */
  told(handouts: Handout[]): void {
    const model = this.#model;
    for (const { session, n, jobs, cancel } of handouts) {
      const stands = this.#stands.get(session);
      model.expect(stands?.n === n, "handouts", () => `${session} is told of its exchange ${n}, not ${stands?.n}`);
      for (const [seq, , , , fence] of JSON.parse(jobs) as LeasedTuple[]) {
        const row = model.jobs.get(seq)?.live;
        const its = row?.state === "running" && row.session === session && row.fence === fence;
        model.expect(its, "told", () => `${session} was handed ${seq}/${fence}, which is not its own`);
        model.granted(seq, fence, session);
        this.#handed.add(seq);
        this.#untold.delete(`${seq}/${fence}`);
      }
      for (const seq of cancel) {
        const row = model.jobs.get(seq)?.live;
        const its = row?.session === session && row.cancel_requested_at !== null;
        model.expect(its, "cancelled", () => `${session} is told that job ${seq} is cancelled`);
        this.#untold.delete(`cancel ${seq}/${row?.fence}`);
      }
    }
  }

  /** Who is surely handed whatever may start from now on. */
  ready(now: number): StandingWant[] {
    const { sessions, settings } = this.#model;
    const live = [...sessions.values()].filter(({ leaseUntil }) => leaseUntil > now).length;
    const place = live < (settings.maxSessions ?? 20);
    return [...this.#stands.values()].filter(
      ({ session, want }) => want > 0 && place && !sessions.has(session) && this.#isAlive(session),
    );
  }

  #checkTold(): void {
    const [first] = this.#untold;
    if (first !== undefined) this.#model.fail("told", `${[...this.#untold]} was handed out, and nobody was told`);
    this.#untold.clear();
  }

  /** Between two events: the books know what the sockets say, which is all that a wake finds. */
  settled(): void {
    const { incarnation, links } = this.#host;
    if (!incarnation || incarnation !== this.#incarnation) return;
    this.#checkTold();
    const state = `${this.#commits} ${links.state}`;
    if (state === this.#settled) return;
    this.#settled = state;
    const stands = standingOf(incarnation);
    const kept = links.standing();
    const text = (want: StandingWant | undefined): string => JSON.stringify(want ?? null);
    for (const session of new Set([...stands.keys(), ...kept.keys()])) {
      const [inBooks, withSocket] = [stands.get(session), kept.get(session)?.want];
      if (!inBooks && this.#plain.has(session)) continue;
      this.#model.expect(
        text(inBooks) === text(withSocket),
        "handouts",
        () => `${session}: ${text(inBooks)} in the books, ${text(withSocket)} with its socket`,
      );
    }
  }
}

function ownOf(cause: Cause): ExchangeInput | null {
  return cause?.kind === "exchange" ? cause.input : null;
}

function standingOf(incarnation: Incarnation): Map<string, StandingWant> {
  return incarnation.engine.read(0, ({ books }) => new Map(books.standing)) ?? new Map();
}
