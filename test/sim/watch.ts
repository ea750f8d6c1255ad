import type { Rollup } from "../../client/wire.ts";
import { mergeRollup } from "../../durable-objects/engine/rollup.ts";
import { dearest, isClosed, type ModelGate, opensAt, type Passage } from "./limits.ts";
import type { ModelJob } from "./model.ts";
import type { Site } from "./site.ts";
import type { LiveRow } from "./tables.ts";
import type { Invariant } from "./violation.ts";

const SLACK_MS = 30;
const TICKET_MS_MIN = 5_000;
const TICKET_MS_MAX = 600_000;
/** A session that took all that it wanted is back within this time, or is not waited for any longer. */
const BACK_MS = 7_000;
/** A flush may be under way for a minute, or wait five after a failure. */
const FLUSH_MS = 370_000;
/** A delivery may be under way, or wait for five minutes after a failure. */
const DELIVERY_MS = 370_000;
const IDLE_ALARMS = 60;

/** What the checks below depend on; none of them comes to fail by time alone. */
function standing({ host, model, ledger, queue }: Site): string {
  return `${ledger.owes(queue)} ${model.changes} ${host.alarmAt} ${host.alarmBusy} ${host.alarmLost}`;
}

/** While anything is due or will be, an alarm is set for it; and somebody comes for work that nothing closes. */
export function checkArmed(site: Site): void {
  const { host, model, clock } = site;
  const stands = standing(site);
  if (stands === site.standing) return;
  site.standing = stands;
  const now = Math.max(clock.wall(), host.latest);
  const alarmAt = host.alarmAt ?? Number.POSITIVE_INFINITY;
  const armedFor = (due: number, invariant: Invariant, what: () => string): void => {
    if (host.alarmBusy || host.alarmLost) return;
    model.expect(
      alarmAt <= Math.max(due, now) + SLACK_MS,
      invariant,
      () => `${what()}: the alarm is at ${host.alarmAt}, now ${now}`,
    );
  };
  for (const { live } of model.living.values()) {
    const { wake_at } = live!;
    if (wake_at !== null) armedFor(wake_at, "armed", () => `job ${live!.seq} is due at ${wake_at}`);
  }
  for (const { id, leaseUntil, held } of model.sessions.values()) {
    const due = held.reduce((at, { until }) => Math.min(at, until), leaseUntil);
    armedFor(due, "armed", () => `session ${id} is over at ${due}`);
  }
  for (const row of model.outbox.values()) {
    if (row.kind !== "history") continue;
    const flushed = row.entries.every(
      ([seq, fence]) => (site.history.rows.get(seq)?.fence ?? site.history.forgotten.get(seq) ?? -1) >= fence,
    );
    if (!flushed) armedFor(now + FLUSH_MS, "armed", () => `outbox row ${row.id} is to be flushed`);
  }
  for (const { name, at } of model.schedules.dueBy()) armedFor(at, "armed", () => `schedule ${name} is due at ${at}`);
  if (site.ledger.owes(site.queue) > 0)
    armedFor(now + DELIVERY_MS, "armed", () => "follow-up jobs are to be delivered");
  if (!model.paused) checkVisitors(site, now, armedFor);
  if (!model.paused && site.delivery !== "push") checkStanding(site, now, armedFor);
  checkIdle(site);
}

/** An hour in which the alarm changes no job has few of them. */
function checkIdle({ host, model, clock }: Site): void {
  const alarms = host.idleAlarms.filter((at) => at > clock.time - 3_600_000);
  host.idleAlarms = alarms;
  model.expect(
    alarms.length <= IDLE_ALARMS,
    "idle",
    () => `${alarms.length} alarms in ${clock.time - alarms[0]!} ms, and no job changed`,
  );
}

/** Somebody is on the way to ready work, or will be when the gate that closes it opens by itself. */
function checkVisitors(
  site: Site,
  now: number,
  armedFor: (due: number, invariant: Invariant, what: () => string) => void,
): void {
  const { model, readySince } = site;
  const oldest = { short: Number.POSITIVE_INFINITY, long: Number.POSITIVE_INFINITY };
  const pushed = [...model.ready].filter(({ live }) => site.pushes(live!.task));
  // The alarm looks how old they are before it hands them out.
  const handed = [...model.living.values()].filter(({ live }) => live!.started_at === site.host.incarnation?.now);
  for (const { live } of [...pushed, ...handed]) oldest[live!.channel] = Math.min(oldest[live!.channel], live!.rank);
  for (const channel of ["short", "long"] as const) {
    // Patience grows with the oldest job, and lasts until none is left.
    readySince[channel] =
      oldest[channel] === Number.POSITIVE_INFINITY ? oldest[channel] : Math.min(oldest[channel], readySince[channel]);
  }
  const saved = dearest(model.ready);
  const kindOf = ({ task, channel }: LiveRow): string => `${channel} ${task}`;
  const isOpen = ({ passages }: ModelJob): boolean => !passages.some((passage) => isClosed(passage, now));
  const open = new Set([...model.ready].filter(isOpen).map(({ live }) => kindOf(live!)));
  for (const { live, passages } of pushed) {
    const opens = opensAll(passages, now, new Map());
    // Who ends a job that holds the gate looks at it.
    if (opens === null) continue;
    const since = readySince[live!.channel];
    const intervalMs = Math.min(Math.max(now - since, TICKET_MS_MIN), TICKET_MS_MAX);
    // Another of its kind may stand for it: who comes for that one looks at the gates. It may also only seem open (a
    // bucket whose rate was changed), and then somebody is expected back.
    const waitMs = open.has(kindOf(live!)) ? Math.max(intervalMs, BACK_MS) : BACK_MS;
    armedFor(
      Math.max(opensAll(passages, now, saved)!, now + waitMs),
      "work-conserving",
      () => `the ${live!.channel} job ${live!.seq}, ready since ${since}, may start at ${opens}`,
    );
  }
}

/** Who stands ready is handed what a gate lets go when it opens by itself: nobody else looks at it. */
function checkStanding(
  { model, observer }: Site,
  now: number,
  armedFor: (due: number, invariant: Invariant, what: () => string) => void,
): void {
  const saved = dearest(model.ready);
  const ready = observer.handouts.ready(now);
  if (ready.length === 0) return;
  for (const { live, passages } of model.ready) {
    const opens = opensAll(passages, now, saved);
    if (opens === null || live!.lapses > 0) continue;
    const taker = ready.find(({ tasks }) => tasks === null || tasks.includes(live!.task));
    if (!taker) continue;
    armedFor(opens, "work-conserving", () => `job ${live!.seq} may go to ${taker.session} at ${opens}`);
  }
}

/** When the last of these gates opens; null: nobody knows. */
function opensAll(passages: Passage[], now: number, saved: Map<ModelGate, number>): number | null {
  let opens = now;
  for (const passage of passages) {
    const at = opensAt(passage, now, { cost: saved.get(passage.gate) ?? 0, holders: 0, takenMs: 0 });
    if (at === null) return null;
    opens = Math.max(opens, at);
  }
  return opens;
}

/** In the end everything is in the history once, in its latest form, and counted once. */
export async function checkHistory(site: Site): Promise<void> {
  const { model, history, host } = site;
  for (const job of model.jobs.values()) {
    const end = model.lastEnd(job);
    const row = history.rows.get(job.seq);
    if (job.deleted) {
      // A batch that lands after its job was deleted brings it back: the history knows no deletions.
      const late = row && (history.forgotten.get(job.seq) ?? -1) >= row.fence;
      model.expect(!row || !!late, "history", () => `job ${job.seq} was deleted, and is in the history`);
    } else if (end?.kept) {
      model.expect(row?.fence === end.fence && row.state === end.state, "history", () => {
        return `job ${job.seq} ended ${end.state}/${end.fence}, and the history has ${row?.state}/${row?.fence}`;
      });
    } else {
      model.expect(!row, "history", () => {
        return `job ${job.seq} is not kept, and the history has ${row?.state}/${row?.fence}`;
      });
    }
  }
  const sum: Rollup = {};
  let since: Rollup | null = null;
  const counted = host.call({ kind: "other" }, (shell) => {
    // In one turn: a flush may be under way.
    for (const { body } of history.rollups) mergeRollup(sum, body);
    return shell.rollupSince(history.upto());
  });
  void counted.then((body) => {
    since = body;
  });
  while (since === null && (await site.clock.step()));
  mergeRollup(sum, since ?? {});
  const counts = new Map<string, number>();
  for (const tasks of Object.values(sum)) {
    for (const [task, states] of Object.entries(tasks)) {
      for (const [state, { count }] of Object.entries(states)) {
        counts.set(`${task} ${state}`, (counts.get(`${task} ${state}`) ?? 0) + count);
      }
    }
  }
  for (const key of new Set([...counts.keys(), ...model.endCounts.keys()])) {
    const [counted, ended] = [counts.get(key) ?? 0, model.endCounts.get(key) ?? 0];
    model.expect(counted === ended, "rollup", () => `${key}: ${ended} ended, ${counted} are counted`);
  }
}
