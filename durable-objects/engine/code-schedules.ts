/**
 * Schedules that code declares: code is the truth, and what is stored follows it.
 *
 * @module
 */
import type { ScheduleInput } from "../../client/wire.ts";
import type { Tx } from "./ports.ts";
import { dropSchedules, knownSchedules, loadSchedules } from "./schedule-rows.ts";
import { setSchedule } from "./schedules.ts";

/**
 * Takes over what code declares: new ones begin, changed ones go on as they now are, those that are gone go. Pauses
 * and what became of the latest instant stay. Writes nothing where nothing has changed.
 */
export function followCode(tx: Tx, declared: ReadonlyMap<string, ScheduleInput>): void {
  const known = [...knownSchedules(tx)];
  dropSchedules(
    tx,
    known.flatMap(([name, { origin }]) => (origin === "code" && !declared.has(name) ? [name] : [])),
  );
  if (declared.size === 0) return;
  const stored = new Map(loadSchedules(tx, [...declared.keys()]).map((schedule) => [schedule.name, schedule]));
  for (const [name, input] of declared) {
    const before = stored.get(name) ?? null;
    if (before?.origin === "code" && JSON.stringify(before.input) === JSON.stringify(input)) continue;
    setSchedule(tx, name, "code", input, before);
  }
}
