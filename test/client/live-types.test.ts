import { expectTypeOf, it } from "vitest";
import {
  type Ctx,
  createClient,
  defineTask,
  type JobError,
  type JobLog,
  type JobSnapshot,
  type JobState,
  type JobStore,
  type LogLine,
  type NumberedLine,
  type QueueEvent,
} from "../../client/index.ts";

const encode = defineTask({ name: "encode", queue: "video" }).handler(() => ({ bytes: 3 }));
const client = createClient<[typeof encode]>({ url: "http://x" });
const never = (_: () => unknown) => {};

it("types what is seen of a job", () => {
  never(async () => {
    const made = await client.enqueue("encode", null);
    for await (const e of made.watch()) {
      expectTypeOf(e.percent).toEqualTypeOf<number | null>();
      expectTypeOf(e.state).toEqualTypeOf<JobState>();
      expectTypeOf(e.log).toEqualTypeOf<NumberedLine | undefined>();
      if (e.event === "log") expectTypeOf(e.log.message).toEqualTypeOf<string>();
      if (e.event === "result" && e.state === "completed") expectTypeOf(e.result).toEqualTypeOf<{ bytes: number }>();
      if (e.event === "result" && e.state !== "completed") expectTypeOf(e.result).toEqualTypeOf<null>();
      if (e.event === "result") expectTypeOf(e.error).toEqualTypeOf<JobError | null>();
      // @ts-expect-error: there is no such event
      if (e.event === "done") return;
    }
    for await (const e of client.job<"encode">("video:0:1").watch({ signal: AbortSignal.timeout(1) })) {
      expectTypeOf(e.result).toEqualTypeOf<{ bytes: number } | null | undefined>();
    }
    for await (const e of createClient({ url: "http://x" }).job("video:0:1").watch()) {
      if (e.event === "result") expectTypeOf(e.result).toBeAny();
    }
  });
  // @ts-expect-error: an unknown option
  never(() => client.job("video:0:1").watch({ after: "1" }));
  expectTypeOf(client.job("video:0:1").logs).returns.resolves.toEqualTypeOf<JobLog>();
  expectTypeOf<JobLog["items"][number]>().toExtend<LogLine>();
});

it("types what is seen of a queue", () => {
  never(async () => {
    for await (const e of client.queue("video").watch()) {
      expectTypeOf(e).toEqualTypeOf<QueueEvent>();
      if (e.event === "counts") expectTypeOf(e.counts.ready).toEqualTypeOf<number>();
    }
  });
});

it("types a store, which fits React, Svelte and Solid", () => {
  const store = client.job<"encode">("video:0:1").store();
  expectTypeOf(store).toEqualTypeOf<JobStore<{ bytes: number }>>();
  expectTypeOf(store.getSnapshot().result).toEqualTypeOf<{ bytes: number } | null>();
  expectTypeOf(store.getSnapshot().percent).toEqualTypeOf<number | null>();
  const react = <Snapshot>(_subscribe: (onChange: () => void) => () => void, getSnapshot: () => Snapshot) =>
    getSnapshot();
  expectTypeOf(react(store.subscribe, store.getSnapshot)).toEqualTypeOf<JobSnapshot<{ bytes: number }>>();
  interface Readable<T> {
    subscribe(this: void, run: (value: T) => void, invalidate?: () => void): () => void;
  }
  expectTypeOf(store).toExtend<Readable<JobSnapshot<{ bytes: number }>>>();
  // @ts-expect-error: nobody writes it
  never(() => (store.getSnapshot().percent = 5));
  // @ts-expect-error: nor its lines
  never(() => store.getSnapshot().logs.push());
});

it("types the lines of a log", () => {
  const handler = (_: (ctx: Ctx) => unknown) => {};
  handler((ctx) => {
    expectTypeOf(ctx.log.info("read", { rows: 5, at: new Date(), size: 5n })).toEqualTypeOf<void>();
    ctx.log.warn("slow");
  });
  // @ts-expect-error: no message
  handler((ctx) => ctx.log.error({ rows: 5 }));
  // @ts-expect-error: fields have names
  handler((ctx) => ctx.log.error("x", "y"));
});
