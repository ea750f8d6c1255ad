import type { Rollup } from "../../client/wire.ts";
import { mergeRollup } from "../../durable-objects/engine/rollup.ts";
import type { Site } from "./site.ts";

const SLACK_MS = 30;
const TICKET_MS_MIN = 5_000;
const TICKET_MS_MAX = 600_000;
/** A flush may be under way for a minute, or wait five after a failure. */
const FLUSH_MS = 370_000;

/** While anything is due or will be, an alarm is set for it; and somebody comes for work that nothing closes. */
export function checkArmed(site: Site): void {
  const { host, model, clock } = site;
  const now = Math.max(clock.wall(), host.incarnation?.now ?? 0);
  const alarmAt = host.alarmAt ?? Number.POSITIVE_INFINITY;
  const armedFor = (due: number, invariant: "armed" | "work-conserving", what: () => string): void => {
    if (host.alarmBusy || host.alarmLost) return;
    model.expect(
      alarmAt <= Math.max(due, now) + SLACK_MS,
      invariant,
      () => `${what()}: the alarm is at ${host.alarmAt}, now ${now}`,
    );
  };
  const ready = { short: Number.POSITIVE_INFINITY, long: Number.POSITIVE_INFINITY };
  let running = 0;
  for (const { live } of model.living.values()) {
    if (!live) continue;
    if (live.wake_at !== null) armedFor(live.wake_at, "armed", () => `job ${live.seq} is due at ${live.wake_at}`);
    if (live.state === "ready") ready[live.channel] = Math.min(ready[live.channel], live.rank);
    if (live.state === "running") running += 1;
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
  for (const channel of ["short", "long"] as const) {
    // Patience grows with the oldest job, and lasts until none is left.
    const since =
      ready[channel] === Number.POSITIVE_INFINITY ? ready[channel] : Math.min(ready[channel], site.readySince[channel]);
    site.readySince[channel] = since;
    if (since === Number.POSITIVE_INFINITY || model.paused || running >= model.settings.concurrency) continue;
    const intervalMs = Math.min(Math.max((now - since) / 2, TICKET_MS_MIN), TICKET_MS_MAX);
    armedFor(now + intervalMs, "work-conserving", () => `a ${channel} job is ready since ${since}`);
  }
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
      model.expect(!row || (history.forgotten.get(job.seq) ?? -1) >= row.fence, "history", () => {
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
