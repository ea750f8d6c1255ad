/**
 * The object's methods over RPC, with the calls that carry many jobs as text.
 *
 * @module
 */
import type { QueueRpc, QueueTextRpc } from "../client/wire.ts";

/** What a namespace's stub answers to. */
export type Stub = QueueRpc & QueueTextRpc;

/** The same methods; `enqueue` and `exchange` go as text. */
export function overText(stub: Stub): QueueRpc {
  return {
    async enqueue(input) {
      return JSON.parse(await stub.enqueueText(JSON.stringify(input)));
    },
    async exchange(input) {
      const { reply, jobs } = await stub.exchangeText(JSON.stringify(input));
      return { ...JSON.parse(reply), jobs };
    },
    deliver: (parcels) => stub.deliver(parcels),
    get: (seq, logs) => stub.get(seq, logs),
    list: (input) => stub.list(input),
    cancel: (seq) => stub.cancel(seq),
    retry: (seq) => stub.retry(seq),
    remove: (seq) => stub.remove(seq),
    describe: () => stub.describe(),
    pause: (reason) => stub.pause(reason),
    resume: () => stub.resume(),
    configure: (patch) => stub.configure(patch),
    keys: (kind, after, limit) => stub.keys(kind, after, limit),
    pauseKey: (kind, value, forMs, reason) => stub.pauseKey(kind, value, forMs, reason),
    explain: (seq) => stub.explain(seq),
    schedules: (after, limit) => stub.schedules(after, limit),
    schedule: (name) => stub.schedule(name),
    putSchedule: (name, input) => stub.putSchedule(name, input),
    removeSchedule: (name) => stub.removeSchedule(name),
    runSchedule: (name) => stub.runSchedule(name),
    pauseSchedule: (name, paused, reason) => stub.pauseSchedule(name, paused, reason),
    backfill: (name, from, to) => stub.backfill(name, from, to),
    bulk: (input) => stub.bulk(input),
    forget: () => stub.forget(),
    poke: () => stub.poke(),
    dismiss: (tokens) => stub.dismiss(tokens),
    rollupSince: (upto) => stub.rollupSince(upto),
  };
}
