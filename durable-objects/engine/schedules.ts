/**
 * Schedules.
 *
 * @module
 */
import type { Refusal, Reply, ScheduleInput, ScheduleReport } from "../../client/wire.ts";
import type { Tx } from "./ports.ts";

const later: Refusal = { ok: false, code: "invalid_request", detail: "Schedules are not built yet" };

export function list(_tx: Tx): ScheduleReport[] {
  return [];
}

export function get(_tx: Tx, _name: string): ScheduleReport | null {
  return null;
}

export function put(
  _tx: Tx,
  _name: string,
  _input: ScheduleInput,
): Reply<{ schedule: ScheduleReport; created: boolean }> {
  return later;
}

export function remove(_tx: Tx, _name: string): Reply<object> {
  return later;
}

export function runNow(_tx: Tx, _name: string): Reply<{ seq: number }> {
  return later;
}

export function pause(
  _tx: Tx,
  _name: string,
  _paused: boolean,
  _reason: string | null,
): Reply<{ schedule: ScheduleReport }> {
  return later;
}

export function backfill(
  _tx: Tx,
  _name: string,
  _from: number,
  _to: number,
): Reply<{ jobs: number[]; already: number }> {
  return later;
}
