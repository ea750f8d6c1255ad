import { describe, expect, it } from "vitest";
import type { Job, JobState } from "../../../client/types.ts";
import { answer, ask, claim, db, enqueue, listJobs, migrated, problem, stubOf, work } from "./support.ts";

migrated();

const seqOf = ({ id }: { id: string }) => Number(id.split(":")[2]);
const names = (jobs: Job[]) => jobs.map((job) => job.payload);

/** All pages of a list. */
async function all(query: string): Promise<Job[]> {
  const items: Job[] = [];
  for (let cursor = ""; ; ) {
    const page = await listJobs(query + cursor);
    items.push(...page.items);
    if (page.nextCursor === null) return items;
    cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
  }
}

/** Makes jobs with the payloads 0, 1, 2 …; those that `ends` says have ended, the others are scheduled. */
async function fill(queue: string, count: number, ends: (n: number) => "completed" | "dead" | null): Promise<string[]> {
  const jobs = Array.from({ length: count }, (_, n) => ({
    task: n % 2 ? "any" : "greet",
    payload: n % 2 ? n : { name: String(n) },
    tags: n % 3 ? [] : ["third"],
    ...(ends(n) === null ? { delay: "1h" } : {}),
  }));
  const made = await answer<{ jobs: { id: string }[] }>(await ask(`/v1/queues/${queue}/jobs`, { body: { jobs } }), 201);
  const first = seqOf(made.jobs[0]!);
  while ((await work(queue, (seq) => ({ outcome: ends(seq - first)! }))).length > 0);
  return made.jobs.map(({ id }) => id);
}

const flushed = (queue: string) => stubOf(queue).poke();

async function inHistory(queue: string): Promise<number> {
  return (await db.prepare("SELECT count(*) AS n FROM history WHERE queue = ?").bind(queue).first<{ n: number }>())!.n;
}

describe("of a queue", () => {
  it("holds each job once, newest first, wherever it is, in pages of any size", async () => {
    const ids = await fill("q-list", 90, (n) => (n % 3 === 0 ? "completed" : n % 7 === 0 ? "dead" : null));
    await flushed("q-list");
    expect(await inHistory("q-list")).toBeGreaterThan(30);
    for (const limit of [1, 7, 50, 200]) {
      const listed = await all(`queue=q-list&limit=${limit}`);
      expect(listed.map(({ id }) => id)).toEqual([...ids].reverse());
    }
    const { items, nextCursor } = await listJobs("queue=q-list");
    expect(items).toHaveLength(50);
    expect(nextCursor).toMatch(/^[\w-]+$/);
  });

  it("filters by state, task, tag and time, in pages too", async () => {
    const ids = await fill("q-filter", 60, (n) => (n % 5 === 0 ? "dead" : n % 2 === 0 ? "completed" : null));
    await flushed("q-filter");
    const expected = (matches: (n: number) => boolean) => ids.filter((_, n) => matches(n)).reverse();
    const dead = (n: number) => n % 5 === 0;
    const completed = (n: number) => !dead(n) && n % 2 === 0;
    const cases: [string, (n: number) => boolean][] = [
      ["state=dead", dead],
      ["state=completed", completed],
      ["state=dead,completed", (n) => dead(n) || completed(n)],
      ["state=scheduled", (n) => !dead(n) && !completed(n)],
      ["state=scheduled,dead", (n) => !completed(n)],
      ["task=greet", (n) => n % 2 === 0],
      ["tag=third", (n) => n % 3 === 0],
      ["tag=third&task=any&state=dead", (n) => n % 3 === 0 && n % 2 === 1 && dead(n)],
      ["state=running", () => false],
      ["from=2000-01-01T00:00:00%2B01:00", () => true],
      ["from=2000-01-01T00:00:00+01:00", () => true],
      ["to=2000-01-01T00:00:00Z", () => false],
    ];
    for (const [query, matches] of cases) {
      for (const limit of [4, 200]) {
        const listed = await all(`queue=q-filter&limit=${limit}&${query}`);
        expect(
          listed.map(({ id }) => id),
          query,
        ).toEqual(expected(matches));
      }
    }
  });

  it("does not show what the history still says of a job that was reopened or deleted", async () => {
    const ids = await fill("q-moved", 6, () => "dead");
    await flushed("q-moved");
    expect(await inHistory("q-moved")).toBe(6);
    await answer(await ask(`/v1/jobs/${ids[1]}/retry`, { method: "POST" }));
    await answer(await ask(`/v1/jobs/${ids[2]}/retry`, { method: "POST" }));
    await work("q-moved");
    await answer(await ask(`/v1/jobs/${ids[3]}/retry`, { method: "POST" }));
    expect((await ask(`/v1/jobs/${ids[4]}`, { method: "DELETE" })).status).toBe(204);
    const states = async (query: string) =>
      (await all(`${query}&limit=2`)).map(({ id, state }): [number, JobState] => [ids.indexOf(id), state]);
    expect(await states("queue=q-moved&state=dead")).toEqual([
      [5, "dead"],
      [0, "dead"],
    ]);
    expect(await states("queue=q-moved")).toEqual([
      [5, "dead"],
      [3, "ready"],
      [2, "completed"],
      [1, "completed"],
      [0, "dead"],
    ]);
    const everywhere = (await all("state=dead&limit=2")).filter(({ queue }) => queue === "q-moved");
    expect(everywhere.map(({ id }) => ids.indexOf(id)).sort()).toEqual([0, 5]);
  });

  it("loses none while they move from the object to the history under the reader", async () => {
    const ids = await fill("q-racing", 40, () => null);
    await Promise.all(ids.map((id) => ask(`/v1/jobs/${id}/retry`, { method: "POST" })));
    const seen: string[] = [];
    let cursor = "";
    do {
      const page = await listJobs(`queue=q-racing&limit=5${cursor}`);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor === null ? "" : `&cursor=${page.nextCursor}`;
      if (seen.length === 15) await work("q-racing");
      if (seen.length === 25) await flushed("q-racing");
    } while (cursor !== "");
    expect(seen).toEqual([...ids].reverse());
  });

  it("fills large pages from the history, and ends them early where payloads are large", async () => {
    const ids = await fill("q-large", 130, () => "dead");
    await flushed("q-large");
    const page = await listJobs("queue=q-large&limit=200");
    expect(page.items.map(({ id }) => id)).toEqual([...ids].reverse());
    expect((await listJobs("queue=q-large&limit=120")).items).toHaveLength(120);
    const waiting = await enqueue("q-heavy", { task: "any", delay: "1h" });
    const jobs = Array.from({ length: 60 }, () => ({ task: "any", payload: "x".repeat(120_000) }));
    await answer(await ask("/v1/queues/q-heavy/jobs", { body: { jobs } }), 201);
    while ((await work("q-heavy", () => ({ outcome: "dead" }))).length > 0);
    while ((await inHistory("q-heavy")) < 60) await flushed("q-heavy");
    const heavy = await listJobs("queue=q-heavy&limit=200");
    expect(heavy.nextCursor).not.toBeNull();
    const everything = await all("queue=q-heavy&limit=200");
    expect(new Set(everything.map(({ id }) => id)).size).toBe(61);
    expect(everything).toHaveLength(61);
    expect(everything.at(-1)!.id).toBe(waiting.id);
    expect((await all("limit=200")).filter(({ queue }) => queue === "q-heavy")).toHaveLength(60);
  });

  it("is empty for a queue that was declared and never used", async () => {
    expect(await listJobs("queue=q-never")).toEqual({ items: [], nextCursor: null });
  });

  it("shows what runs", async () => {
    const { id } = await enqueue("q-runs", { task: "any", payload: "x" });
    await claim("q-runs");
    const { items } = await listJobs("queue=q-runs&state=running");
    expect([items.map((job) => job.id), names(items)]).toEqual([[id], ["x"]]);
  });

  it("takes no cursor of another list", async () => {
    const { nextCursor } = await listJobs("queue=q-list&limit=1");
    await problem(await ask(`/v1/jobs?queue=q-filter&cursor=${nextCursor}`), 400, "invalid_request");
    await problem(await ask(`/v1/jobs?cursor=${nextCursor}`), 400, "invalid_request");
    await problem(await ask(`/v1/queues?cursor=${nextCursor}`), 400, "invalid_request");
  });
});

describe("of all queues", () => {
  it("holds what has ended, newest finished first, each once", async () => {
    const first = await fill("q-all-a", 5, () => "dead");
    const second = await fill("q-all-b", 5, (n) => (n % 2 ? "completed" : "dead"));
    await Promise.all([flushed("q-all-a"), flushed("q-all-b")]);
    const listed = (await all("limit=40")).filter(({ queue }) => queue.startsWith("q-all-"));
    expect(listed.map(({ id }) => id).sort()).toEqual([...first, ...second].sort());
    const times = listed.map(({ finishedAt }) => finishedAt!);
    expect(times).toEqual([...times].sort().reverse());
    const dead = (await all("limit=40&state=dead")).filter(({ queue }) => queue === "q-all-b");
    expect(dead).toHaveLength(3);
    const since = (await all(`from=${times[0]}`)).filter(({ queue }) => queue.startsWith("q-all-"));
    expect(since.length).toBeGreaterThan(0);
    expect(since.every(({ finishedAt }) => finishedAt! >= times[0]!)).toBe(true);
  });

  it("asks for a queue where jobs have not ended", async () => {
    for (const state of ["ready", "retrying", "dead,running"]) {
      const refused = await problem(await ask(`/v1/jobs?state=${state}`), 400, "invalid_request");
      expect(refused.errors![0]!.message).toContain("needs a queue");
    }
  });
});
