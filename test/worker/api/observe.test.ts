import { describe, expect, it } from "vitest";
import type { SummaryItem } from "../../../worker/history/summary.ts";
import { answer, appWith, ask, DEPS, db, deployed, enqueue, migrated, problem, stubOf, work } from "./support.ts";

migrated();

interface Summary {
  from: string;
  to: string;
  by: string;
  items: SummaryItem[];
  complete: boolean;
}

describe("GET /v1/history/summary", () => {
  it("counts what has ended to the moment, flushed or not", async () => {
    for (let n = 0; n < 3; n++) await enqueue("q-sum", { task: "any" });
    await work("q-sum");
    await stubOf("q-sum").poke();
    await enqueue("q-sum", { task: "any" });
    await enqueue("q-sum", { task: "greet", payload: { name: "x" } });
    await work("q-sum", () => ({ outcome: "dead" }));
    const summary = await answer<Summary>(await ask("/v1/history/summary?queue=q-sum&by=day"));
    expect(summary).toMatchObject({ by: "day", complete: true });
    expect(Date.parse(summary.to) - Date.parse(summary.from)).toBe(86_400_000);
    const counts = summary.items.map(({ task, state, count }) => [task, state, count]);
    expect(counts.sort()).toEqual([
      ["any", "completed", 3],
      ["any", "dead", 1],
      ["greet", "dead", 1],
    ]);
    expect(summary.items[0]!.run.maxMs).toBeGreaterThanOrEqual(0);
  });

  it("takes a range and a grain, and is empty where nothing was", async () => {
    const query = "from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z&by=minute";
    for (const queue of ["", "&queue=q-sum", "&queue=elsewhere"]) {
      const summary = await answer<Summary>(await ask(`/v1/history/summary?${query}${queue}`));
      expect(summary).toMatchObject({ from: "2020-01-01T00:00:00.000Z", by: "minute", items: [], complete: true });
    }
  });
});

describe("GET /metrics", () => {
  /** Values by name and labels. */
  async function scrape(): Promise<Map<string, number>> {
    const response = await ask("/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    expect(text.endsWith("\n")).toBe(true);
    const lines = text.trimEnd().split("\n");
    for (const line of lines)
      expect(line).toMatch(/^(# (HELP|TYPE) millrace_\w+ .+|millrace_\w+(\{[^}]+\})? [\d.e+-]+)$/);
    const typed = lines.filter((line) => line.startsWith("# TYPE")).map((line) => line.split(" ")[2]!);
    expect(new Set(typed).size).toBe(typed.length);
    const samples = lines.filter((line) => !line.startsWith("#"));
    for (const sample of samples) {
      const family = sample.match(/^\w+/)![0].replace(/_(bucket|sum|count)$/, "");
      expect(
        typed.some((name) => name === family || sample.startsWith(`${name}{`)),
        sample,
      ).toBe(true);
    }
    return new Map(
      samples.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
    );
  }

  it("counts jobs, starts, ends, times", async () => {
    for (let n = 0; n < 4; n++) await enqueue("q-metrics", { task: "any", ...(n === 3 ? { delay: "1h" } : {}) });
    await work("q-metrics", (seq) => ({ outcome: seq % 2 ? "completed" : "dead" }));
    await enqueue("q-metrics", { task: "any" });
    const of = await scrape();
    const at = (name: string, labels = "") => of.get(`millrace_${name}{queue="q-metrics"${labels}}`);
    expect(at("queue_awake")).toBe(1);
    expect(at("queue_paused")).toBe(0);
    expect(at("jobs", ',state="scheduled"')).toBe(1);
    expect(at("jobs", ',state="ready"')).toBe(1);
    expect(at("enqueued_total")).toBe(5);
    expect(at("starts_total")).toBe(3);
    expect(at("ends_total", ',outcome="completed"')! + at("ends_total", ',outcome="dead"')!).toBe(3);
    expect(at("run_seconds_count")).toBe(3);
    expect(at("run_seconds_bucket", ',le="+Inf"')).toBe(3);
    expect(at("run_seconds_bucket", ',le="0.001"')).toBeLessThanOrEqual(3);
    expect(at("oldest_ready_age_seconds")).toBeGreaterThanOrEqual(0);
    expect(of.get("millrace_queues_unread")).toBe(0);
  });

  it("does not wake what sleeps", async () => {
    const asleep = db
      .prepare(
        "INSERT INTO queues (name, partition, paused, poked_at, created_at, updated_at) VALUES ('q-asleep', 0, 1, ?1, 0, 0)",
      )
      .bind(Date.now());
    await asleep.run();
    const asked: string[] = [];
    const stub: typeof DEPS.stub = (env, queue) => {
      asked.push(queue);
      return DEPS.stub(env, queue);
    };
    const text = await (await ask("/metrics", { fetch: appWith({ stub }) })).text();
    expect(text).toContain('millrace_queue_awake{queue="q-asleep"} 0');
    expect(text).toContain('millrace_queue_paused{queue="q-asleep"} 1');
    expect(text).not.toContain('millrace_jobs{queue="q-asleep"');
    expect(asked).toContain("q-metrics");
    expect(asked).not.toContain("q-asleep");
  });

  it("leaves out a queue that does not answer, and says so", async () => {
    const fetch = appWith({
      stub: (env, queue) => {
        if (queue === "q-metrics") throw new Error("gone");
        return DEPS.stub(env, queue);
      },
    });
    const text = await (await ask("/metrics", { fetch })).text();
    expect(text).toContain("millrace_queues_unread 1\n");
    expect(text).not.toContain('millrace_jobs{queue="q-metrics"');
  });

  it("leaves out what an object of the version before does not count", async () => {
    const fetch = appWith({
      stub: (env, queue) => ({
        ...DEPS.stub(env, queue),
        async describe() {
          const { sockets: _, ...described } = (await DEPS.stub(env, queue).describe())!;
          const { handouts: _handouts, framesRefused: _frames, ...metrics } = described.metrics;
          return { ...described, metrics: metrics as typeof described.metrics };
        },
      }),
    });
    const text = await (await ask("/metrics", { fetch })).text();
    expect(text).toContain('millrace_enqueued_total{queue="q-metrics"}');
    expect(text).not.toMatch(/undefined|NaN/);
  });
});

describe("GET /healthz", () => {
  const open = { headers: { authorization: null } };

  it("says that all is well, without a token", async () => {
    for (const fetch of [undefined, deployed]) {
      const health = await answer<object>(await ask("/healthz", { ...open, fetch }));
      expect(health).toEqual({
        status: "ok",
        version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        history: { ok: true, fullness: expect.any(Number) },
        object: { ok: true },
      });
    }
  });

  it("looks once in ten seconds", async () => {
    let looks = 0;
    const fetch = appWith({
      stub: (env, queue) => {
        looks += 1;
        return DEPS.stub(env, queue);
      },
    });
    for (let n = 0; n < 3; n++) expect((await ask("/healthz", { ...open, fetch })).status).toBe(200);
    expect(looks).toBe(1);
  });

  it("503 where one of them fails, and names it without saying why", async () => {
    const broken = { describe: () => Promise.reject(new Error("SECRET")) };
    const noObjects = await ask("/healthz", { ...open, fetch: appWith({ stub: () => broken as never }) });
    expect(await problem(noObjects, 503, "unavailable")).toMatchObject({
      object: { ok: false },
      history: { ok: true },
      detail: "Not all is well. The queue objects should answer, and do not.",
    });
    const history = { check: async () => ({ ok: false as const, lacksMigrations: false, detail: "SECRET" }) };
    const noHistory = await ask("/healthz", { ...open, fetch: appWith({ history: () => history as never }) });
    const said = await problem(noHistory, 503, "unavailable");
    expect(said).toMatchObject({
      object: { ok: true },
      detail: "Not all is well. The history (D1) should answer, and does not.",
    });
    expect(said).toHaveProperty("history", { ok: false, fullness: null });
    expect(JSON.stringify(said)).not.toContain("SECRET");
  });
});
