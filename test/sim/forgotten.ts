import { PLAIN } from "../support/template.ts";
import type { Cause } from "./host.ts";
import type { Site } from "./site.ts";

const TRIES = 5;

/** A queue that is deleted when all is over keeps nothing but its ids: whoever uses it again gets a new one. */
export async function checkForgotten(site: Site, unschedule: () => Promise<void>): Promise<void> {
  const { model, host, history, queue } = site;
  const other = { kind: "other" } as const;
  let refused = "";
  for (let tries = 0; tries < TRIES; tries++) {
    // What was late may have come since.
    while (!site.drained() && (await site.clock.step()));
    await inTime(site, unschedule());
    const done = await inTime(
      site,
      host.call(other, (shell) => shell.forget()),
    );
    refused = done.ok ? "" : done.detail;
    if (done.ok) break;
  }
  model.expect(refused === "", "forgotten", () => `${queue} is done, and is not deleted: ${refused}`);
  const count = (query: string): number => Number(host.storage.sql.exec(query)[0]!.count);
  const kept = [
    count("SELECT count(*) AS count FROM uniques"),
    count("SELECT count(*) AS count FROM schedules"),
    count("SELECT count(*) AS count FROM outbox WHERE body IS NOT NULL"),
    count("SELECT count(*) AS count FROM meta WHERE key IN ('overrides', 'paused')"),
  ];
  const gone = kept.every((rows) => rows === 0) && !history.registered;
  model.expect(gone, "forgotten", () => `${queue} was deleted, and keeps ${kept}; registered: ${history.registered}`);

  host.evict();
  const input = { templates: [PLAIN], jobs: [[0, null]], requestId: "afterwards", idempotency: null };
  const cause = { kind: "enqueue", input } as Cause & { kind: "enqueue" };
  const reply = await inTime(
    site,
    host.call(cause, (shell) => shell.enqueue(structuredClone(cause.input))),
  );
  const used = reply.ok && reply.jobs[0]!.seq === model.maxSeq && history.registered;
  model.expect(used, "forgotten", () => `${queue} was used again, and answers ${JSON.stringify(reply)}`);
}

/** What comes of a call, as the clock of the world goes on. */
async function inTime<Value>({ clock }: Site, call: Promise<Value>): Promise<Value> {
  let over = false;
  const ends = (): void => {
    over = true;
  };
  call.then(ends, ends);
  while (!over && (await clock.step()));
  return call;
}
