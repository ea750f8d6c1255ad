import { laneKey } from "../../durable-objects/engine/books.ts";
import { openBooks } from "../../durable-objects/engine/open.ts";
import { repeatedRequest } from "../../durable-objects/engine/requests.ts";
import { countJobs } from "../../durable-objects/engine/tally.ts";
import type { Host, Incarnation } from "./host.ts";
import type { Model } from "./model.ts";

/** What the object has in memory must be what a fresh object would read from the tables. */
export function checkBooks(model: Model, host: Host, incarnation: Incarnation): void {
  const { sql } = host;
  incarnation.engine.read(0, (tx) => {
    const { books } = tx;
    const fresh = openBooks(sql, host.deps.settings);
    if (!fresh) return model.fail("books", "there are books without tables");
    const same = (name: string, a: unknown, b: unknown): void => {
      const [inMemory, inTables] = [JSON.stringify(a), JSON.stringify(b)];
      model.expect(inMemory === inTables, "books", () => `${name}: ${inMemory} in memory, ${inTables} in the tables`);
    };
    same("nextSeq", books.nextSeq, fresh.nextSeq);
    same("nextOutboxId", books.nextOutboxId, fresh.nextOutboxId);
    same("running", books.running, fresh.running);
    const lanesOf = (of: typeof books) => [...of.lanes.values()].map((lane) => [laneKey(lane), lane.id, lane.ready]);
    same("lanes", lanesOf(books), lanesOf(fresh));
    same("paused", books.paused, fresh.paused);
    same("overrides", books.overrides, fresh.overrides);
    same("registered", books.registered, fresh.registered);
    const plain = ({
      held,
      cancels,
      refused,
      ...rest
    }: typeof books.sessions extends Map<string, infer S> ? S : never) => ({
      ...rest,
      held: [...held.values()].sort((a, b) => a.seq - b.seq),
      cancels: [...cancels].sort(),
      refused,
    });
    const byId = (sessions: typeof books.sessions) =>
      [...sessions.values()].map(plain).sort((a, b) => (a.id < b.id ? -1 : 1));
    same("sessions", byId(books.sessions), byId(fresh.sessions));
    checkScheduler(same, books, fresh);
    if (books.counts) same("counts", books.counts, countJobs(sql, fresh));
    model.expect(books.wakeAt <= fresh.wakeAt, "books", () => `wakeAt ${books.wakeAt} is later than ${fresh.wakeAt}`);
    const { flushedUpto, unflushed } = books.outbox;
    const [left] = sql.exec("SELECT coalesce(sum(max(count, 1)), 0) AS jobs FROM outbox WHERE id > ?", flushedUpto);
    same("unflushed", unflushed, left!.jobs);
    if (books.requests) {
      for (const [id, made] of model.requests) {
        if (made.nothing || made.at <= tx.now - 299_000) continue;
        const known = repeatedRequest(tx, id);
        model.expect(known !== null, "once", () => `request ${id} is not remembered`);
      }
    }
  });
}

type Books = NonNullable<ReturnType<typeof openBooks>>;

/** Who holds each gate, and what of limits, keys and deliveries lasts. Where lanes stand, and shares, are memory only. */
function checkScheduler(same: (name: string, a: unknown, b: unknown) => void, books: Books, fresh: Books): void {
  const gates = (of: Books) =>
    [...of.gates.values()]
      .filter(({ holders, waiters, taken, spent }) => holders !== 0 || waiters !== 0 || taken !== 0 || spent !== 0)
      .map(({ key, holders, waiters, taken, spent }) => [key, holders, waiters, taken, spent])
      .sort();
  same("gates", gates(books), gates(fresh));
  const limits = (of: Books) => [...of.gates.values()].map(({ key, limit }) => [key, limit]).sort();
  const known = new Set(fresh.gates.keys());
  same(
    "limits",
    limits(books).filter(([key]) => known.has(key as string)),
    limits(fresh),
  );
  const waiting = (of: Books) =>
    [...of.groups.values()]
      .filter(({ ready }) => ready > 0)
      .map(({ task, channel, suspect, ready }) => [task, channel, suspect, ready])
      .sort();
  same("groups", waiting(books), waiting(fresh));
  same("buckets", [...books.buckets].sort(), [...fresh.buckets].sort());
  same("closures", [...books.closures].sort(), [...fresh.closures].sort());
  same("ordered", books.ordered, fresh.ordered);
  same("uniques", books.uniques, fresh.uniques);
  const targets = (of: Books) => [...of.targets].map(([key, { waiting: parcels }]) => [key, parcels]).sort();
  same("targets", targets(books), targets(fresh));
}
