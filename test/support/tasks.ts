/** Tasks for the tests of the consumer: what handlers do that they should not, and a few that behave. */
import {
  type Ctx,
  cancel,
  defineTask,
  type Json,
  NonRetryableError,
  RetryAfterError,
  snooze,
} from "../../client/index.ts";

/** What handlers saw, in order. Emptied by whoever wants to look. */
export const seen: { what: string; [field: string]: unknown }[] = [];

/** Gates and switches that tests hold. */
export const held = { open: (): void => {}, gate: Promise.resolve() as Promise<void>, accept: true };

export function shutGate(): void {
  held.gate = new Promise((resolve) => {
    held.open = resolve;
  });
}

const never = new Promise<never>(() => {});

function cyclic(): object {
  const value: { self?: unknown } = {};
  value.self = value;
  return value;
}

function withCyclicCause(): Error {
  const a = new Error("a");
  a.cause = new Error("b", { cause: a });
  return a;
}

const hostile = (): object =>
  new Proxy(() => {}, {
    get() {
      throw new Error("not to be read");
    },
    ownKeys() {
      throw new Error("not to be listed");
    },
  });

/** Answers every name with itself: it looks like whatever one looks for. */
const mirror = (): object => {
  const target: object = new Proxy(() => {}, { get: (_, key) => (key === "then" ? undefined : target) });
  return target;
};

const fail = (thrown: unknown) => (): never => {
  throw thrown;
};

/** A result that JSON holds when it is returned, and does not a moment later. */
function turning(): object {
  const value: Record<string, unknown> = { fine: true };
  queueMicrotask(() => queueMicrotask(() => queueMicrotask(() => Object.assign(value, { self: value, big: 1n }))));
  return value;
}

/** Serialises once. */
function once(): object {
  let times = 0;
  return {
    toJSON() {
      times += 1;
      if (times > 1) throw new Error("once only");
      return "once";
    },
  };
}

export const BEHAVIOURS: { [how: string]: (ctx: Ctx) => unknown } = {
  "throws an Error": fail(new TypeError("broken")),
  "throws a string": fail("just text"),
  "throws undefined": fail(undefined),
  "throws null": fail(null),
  "throws a cyclic cause": () => fail(withCyclicCause())(),
  "throws a frozen error": () => fail(Object.freeze(new Error("cold")))(),
  "throws a hostile Proxy": () => fail(hostile())(),
  "throws a mirror": () => fail(mirror())(),
  "throws a symbol": fail(Symbol("why")),
  "throws a BigInt": fail(10n),
  "throws an error of a megabyte": () => fail(new Error("x".repeat(1_000_000)))(),
  "rejects late": async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    throw new Error("late");
  },
  "is not to be retried": fail(new NonRetryableError("gone for good")),
  "asks to be tried later": fail(new RetryAfterError("7m")),

  "returns nothing": () => {},
  "returns null": () => null,
  "returns a BigInt": () => 1n,
  "returns a cycle": cyclic,
  "returns a function": () => () => {},
  "returns a symbol": () => Symbol("x"),
  "returns a hostile Proxy": hostile,
  "returns a mirror": mirror,
  "returns a Map and a Date": () => ({ map: new Map([[1, 2]]), at: new Date(0) }),
  "returns too much": () => "x".repeat(200_000),
  "returns what turns bad": turning,
  "returns what serialises once": once,
  "returns half a character": () => "\ud800",
  // biome-ignore lint/suspicious/noThenProperty: that is the point
  "returns a thenable": () => ({ then: (resolve: (value: string) => void) => setTimeout(() => resolve("built"), 20) }),

  snoozes: () => snooze("5m"),
  "cancels itself": () => cancel("not wanted"),
  "cancels itself without end": () => cancel("x".repeat(3_000_000)),
  "cancels itself with nonsense": () => cancel(1n as never),

  "never returns": () => never,
  "ignores its signal": async (ctx) => {
    ctx.signal.addEventListener("abort", () => {
      seen.push({ what: "aborted", reason: ctx.signal.reason.name });
    });
    await new Promise((resolve) => setTimeout(resolve, 1_600));
    return "too late";
  },
  "throws after its timeout": async (ctx) => {
    await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
    throw new Error("after the end");
  },

  "says nonsense of its progress": (ctx) => {
    for (const nonsense of [{ percent: Number.NaN }, { percent: 1e9, note: 5 }, { note: "\ud800".repeat(9_999) }, {}]) {
      ctx.progress(nonsense as never);
    }
    ctx.progress({ percent: "12" as never, note: hostile() as never });
    return "said";
  },
  "logs nonsense": (ctx) => {
    ctx.log.info("cyclic", { cyclic: cyclic(), big: 1n });
    return "logged";
  },
  "changes what it was given": (ctx) => {
    Object.assign(ctx.job, { id: "other:0:1" });
    return "changed";
  },
};

const options = { timeout: "1s", maxAttempts: 2 } as const;

export const echo = defineTask({ name: "echo", ...options }).handler((input) => input);

export const misbehave = defineTask({ name: "misbehave", ...options }).handler((input, ctx) =>
  BEHAVIOURS[(input as { how: string }).how]!(ctx),
);

/** Waits until the test opens the gate, or until it is told to stop. */
export const patient = defineTask({ name: "patient", timeout: "20s", maxAttempts: 2 }).handler(async (input, ctx) => {
  seen.push({ what: "started", input, fence: ctx.fence });
  const stopped = new Promise((_, reject) => {
    ctx.signal.addEventListener("abort", () => {
      seen.push({ what: "aborted", input });
      reject(ctx.signal.reason);
    });
  });
  await Promise.race([held.gate, stopped]);
  return "patience";
});

export const choosy = defineTask({
  name: "choosy",
  ...options,
  input: {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value: unknown) =>
        held.accept ? { value } : { issues: [{ message: "is out of fashion", path: ["colour"] }] },
    },
  },
}).handler((input) => input);

export const brokenSchema = defineTask({
  name: "broken-schema",
  ...options,
  input: {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value: unknown) => {
        if (!held.accept) throw new Error("the schema is broken");
        return { value };
      },
    },
  },
}).handler((input) => input);

export const ownBackoff = defineTask({
  name: "own-backoff",
  ...options,
  backoff: ({ attempt, failures, error }) => {
    const message = (error as Error).message;
    if (message === "throw") throw new Error("no idea");
    if (message === "nonsense") return "soon" as never;
    if (message === "endless") return Number.POSITIVE_INFINITY;
    return attempt * 60_000 + failures * 1_000;
  },
}).handler((input) => {
  throw new Error(String(input));
});

/** Says for which instant a schedule meant it. */
export const when = defineTask({ name: "when", ...options, queue: "ticking" }).handler((_input, ctx) => ({
  for: ctx.scheduledFor?.toISOString() ?? null,
}));

export const child = defineTask({ name: "child", queue: "children", ...options }).handler((input) => input);

/** Makes the jobs that its input names. */
export const parent = defineTask({ name: "parent", ...options }).handler((input, ctx) => {
  for (const { payload, queue } of input as { payload: Json; queue?: string }[]) {
    ctx.enqueue(child, payload, queue === undefined ? {} : { queue });
  }
  return "made";
});

/** Takes many, and settles each as its input says. */
export const many = defineTask({ name: "many", take: { max: 50, wait: "500ms" }, ...options }).handler((jobs) => {
  seen.push({ what: "took", inputs: jobs.map(({ input }) => input) });
  for (const job of jobs) if (job.input === "fails") job.fail(new Error("of its own"));
  return jobs.map(({ input }) => ({ took: jobs.length, input }));
});

/** Declared here, run by remote workers. */
export const elsewhere = defineTask({ name: "elsewhere", queue: "pull-elsewhere", timeout: "2h" });

export const TASKS = [echo, misbehave, patient, choosy, brokenSchema, ownBackoff, when, child, parent, many] as const;
