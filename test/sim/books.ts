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
