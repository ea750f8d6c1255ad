import { expect } from "vitest";
import type { Settings, SettingsPatch } from "../../client/wire.ts";
import { configure } from "../../durable-objects/engine/operate.ts";
import type { CodeSettings } from "../../durable-objects/engine/ports.ts";
import { DEFAULT_SETTINGS, limitOf, taskLimitOf } from "../../durable-objects/engine/settings.ts";
import type { Case, TestQueue } from "./queue.ts";

const DAY = 86_400_000;
const RATE = { limit: 10, perMs: 1_000, burst: 10 };
const SLOW = { limit: 1, perMs: 60_000, burst: 2 };
/** Own properties of these names, as JSON has them: a literal's `__proto__` would be something else. */
const STRANGE = ["__proto__", "constructor", "hasOwnProperty", "values", "concurrency"];

function named<Value>(entries: [name: string, value: Value][]): { [name: string]: Value } {
  return Object.fromEntries(entries);
}

/** A deploy: the object comes back with other code over the same storage. */
function deploy(queue: TestQueue, code: CodeSettings) {
  queue.restart(code);
  return {
    patch: (patch: SettingsPatch) => queue.write((tx) => configure(tx, code, patch)),
    get inForce() {
      return queue.write((tx) => tx.books.settings);
    },
    get rules(): Settings {
      return queue.write((tx) => tx.books.rules);
    },
  };
}

const api = <Value>(value: Value) => ({ value, origin: "api" });
const code = <Value>(value: Value) => ({ value, origin: "code" });

const weightsOf = (count: number, from = 0) =>
  named(Array.from({ length: count }, (_, n): [string, number] => [`fair-${from + n}`, 1]));

const REFUSED: [SettingsPatch, RegExp][] = [
  [{ slots: 0 }, /slots is an integer from 1 to 500: got 0/],
  [{ concurrency: -1 }, /concurrency is an integer/],
  [{ rateLimit: { limit: 0, perMs: 1_000, burst: 1 } }, /rateLimit is \{ limit, per, burst \}/],
  [{ rateLimit: { limit: 1, perMs: 999, burst: 1 } }, /1 s to 31 d/],
  [{ rateLimit: { limit: 1, perMs: 1_000 } as never }, /rateLimit/],
  [{ rateLimit: { ...RATE, more: 1 } as never }, /rateLimit/],
  [{ rateLimit: "10/s" as never }, /rateLimit/],
  [{ rateLimit: { limit: 1, perMs: 86_400_000, burst: 367 } }, /366 days to fill/],
  [{ ageing: { perMs: 60_000, priority: 0 } }, /ageing is \{ per, priority \}/],
  [{ tasks: { mail: { concurrency: 0 } } }, /tasks\.mail\.concurrency is an integer from 1/],
  [{ tasks: { mail: { slots: 1 } as never } }, /there is no setting tasks\.mail\.slots/],
  [{ tasks: { mail: 5 as never } }, /tasks\.mail is an object: got 5/],
  [{ tasks: [] as never }, /tasks is an object/],
  [{ limits: { tenant: { values: { a: { concurrency: 1.5 } } } } }, /limits\.tenant\.values\.a\.concurrency/],
  [{ limits: { tenant: { values: { a: { values: {} } as never } } } }, /no setting limits\.tenant\.values\.a\.values/],
  [{ limits: { tenant: { value: {} } as never } }, /no setting limits\.tenant\.value/],
  [{ weights: { a: 0 } }, /weights\.a is a number from 0\.001 to 1000: got 0/],
  [{ weights: { a: Number.NaN } }, /weights\.a/],
  [named([["__proto__", 1]]) as SettingsPatch, /there is no setting __proto__/],
  [{ tasks: named([["a", named([["constructor", 1]])]]) } as SettingsPatch, /no setting tasks\.a\.constructor/],
];

export const SETTINGS: Case[] = [
  {
    name: "each leaf has the value of the latest of default, code and API, and says which",
    run(queue) {
      const queueNow = deploy(queue, {
        slots: 3,
        rateLimit: RATE,
        tasks: { mail: { concurrency: 2, rateLimit: RATE } },
        limits: { tenant: { concurrency: 5, values: { acme: { concurrency: 9 } } } },
        weights: { acme: 2 },
      });
      const refused = queueNow.patch({
        tasks: { mail: { concurrency: 7 }, other: { rateLimit: SLOW } },
        limits: { tenant: { rateLimit: SLOW, values: { acme: { rateLimit: RATE }, tiny: { concurrency: 1 } } } },
        weights: { tiny: 0.5 },
      });
      expect(refused).toBeNull();
      expect(queueNow.inForce).toMatchObject({
        slots: code(3),
        maxSessions: { value: 20, origin: "default" },
        ageing: { value: null, origin: "default" },
        rateLimit: code(RATE),
        tasks: { mail: { concurrency: api(7), rateLimit: code(RATE) }, other: { rateLimit: api(SLOW) } },
        limits: {
          tenant: {
            concurrency: code(5),
            rateLimit: api(SLOW),
            values: { acme: { concurrency: code(9), rateLimit: api(RATE) }, tiny: { concurrency: api(1) } },
          },
        },
        weights: { acme: code(2), tiny: api(0.5) },
      });
    },
  },
  {
    name: "a value's limits replace those of its kind one by one; what nobody set is absent",
    run(queue) {
      const { rules } = deploy(queue, {
        tasks: { mail: { concurrency: 2 } },
        limits: { tenant: { concurrency: 5, rateLimit: RATE, values: { acme: { concurrency: 9 } } } },
      });
      expect(limitOf(rules, "tenant", "acme")).toEqual({ concurrency: 9, rateLimit: RATE });
      expect(limitOf(rules, "tenant", "other")).toEqual({ concurrency: 5, rateLimit: RATE });
      expect(taskLimitOf(rules, "mail")).toEqual({ concurrency: 2 });
      for (const name of ["other", ...STRANGE]) {
        expect(limitOf(rules, name, name)).toEqual({});
        expect(taskLimitOf(rules, name)).toEqual({});
      }
    },
  },
  {
    name: "a rate limit and ageing are replaced whole",
    run(queue) {
      const queueNow = deploy(queue, { rateLimit: RATE, ageing: { perMs: 60_000, priority: 1 } });
      queueNow.patch({ rateLimit: SLOW, ageing: { perMs: 1_000, priority: 3 } });
      expect(queueNow.rules).toMatchObject({ rateLimit: SLOW, ageing: { perMs: 1_000, priority: 3 } });
      queueNow.patch({ rateLimit: null, ageing: null });
      expect(queueNow.inForce).toMatchObject({ rateLimit: code(RATE), ageing: code({ perMs: 60_000, priority: 1 }) });
    },
  },
  {
    name: "null takes back one value, all of a name, or a whole map, of the API's only",
    run(queue) {
      const fromCode = { limits: { tenant: { concurrency: 5 } }, weights: { acme: 2 } };
      const queueNow = deploy(queue, fromCode);
      const before = queueNow.inForce;
      const limits = { tenant: { concurrency: 7, values: { acme: { concurrency: 1 }, tiny: { concurrency: 2 } } } };
      queueNow.patch({ limits, weights: { acme: 3, tiny: 4 }, tasks: { mail: { concurrency: 1 } } });

      queueNow.patch({ limits: { tenant: { concurrency: null, values: { acme: null } } } });
      expect(queueNow.inForce.limits).toEqual({
        tenant: { concurrency: code(5), values: { tiny: { concurrency: api(2) } } },
      });
      queueNow.patch({ limits: { tenant: { values: { tiny: { concurrency: null } } } }, weights: { acme: null } });
      expect(queueNow.inForce.limits).toEqual({ tenant: { concurrency: code(5) } });
      expect(queueNow.inForce.weights).toEqual({ acme: code(2), tiny: api(4) });
      queueNow.patch({ limits: { tenant: null, never: null }, weights: null, tasks: null });
      expect(queueNow.inForce).toEqual(before);
      expect(queue.rows("SELECT value FROM meta WHERE key = 'overrides'")).toEqual([{ value: "{}" }]);
    },
  },
  {
    name: "overrides stand through deploys; what the code no longer says is gone",
    run(queue) {
      deploy(queue, { limits: { tenant: { concurrency: 5 }, vendor: { concurrency: 1 } }, weights: { acme: 2 } }).patch(
        {
          limits: { tenant: { rateLimit: RATE } },
          tasks: { mail: { concurrency: 4 } },
        },
      );
      const next = deploy(queue, { slots: 2 });
      expect(next.rules).toEqual({
        ...DEFAULT_SETTINGS,
        slots: 2,
        limits: { tenant: { rateLimit: RATE } },
        tasks: { mail: { concurrency: 4 } },
      });
      expect(next.inForce.limits).toEqual({ tenant: { rateLimit: api(RATE) } });
      next.patch({ limits: null });
      expect(deploy(queue, {}).inForce).toMatchObject({ limits: {}, weights: {}, slots: { origin: "default" } });
    },
  },
  {
    name: "tasks, kinds, values and fair keys may have the names of what objects inherit",
    run(queue) {
      const each = <Value>(value: Value) => named(STRANGE.map((name): [string, Value] => [name, value]));
      const queueNow = deploy(queue, { tasks: each({ concurrency: 2 }), weights: each(2) });
      const limits = each({ concurrency: 3, values: each({ concurrency: 4 }) });
      expect(queueNow.patch({ limits, weights: named([["__proto__", 5]]) })).toBeNull();
      const { rules } = deploy(queue, { tasks: each({ concurrency: 2 }), weights: each(2) });
      for (const name of STRANGE) {
        expect(taskLimitOf(rules, name)).toEqual({ concurrency: 2 });
        expect(limitOf(rules, name, name)).toEqual({ concurrency: 4 });
        expect(limitOf(rules, name, "else")).toEqual({ concurrency: 3 });
        expect(Object.getOwnPropertyDescriptor(rules.weights, name)?.value).toBe(name === "__proto__" ? 5 : 2);
      }
      expect(Object.getPrototypeOf(rules.limits)).toBe(Object.prototype);
      queueNow.patch({ limits: named([["__proto__", null]]) });
      expect(Object.keys(queueNow.rules.limits)).toEqual(STRANGE.slice(1));
    },
  },
  {
    name: "one wrong setting refuses all of a patch, and names its place",
    run(queue) {
      const queueNow = deploy(queue, {});
      queueNow.patch({ slots: 5, limits: { tenant: { concurrency: 2 } } });
      const before = queue.everything();
      for (const [patch, message] of REFUSED) {
        const refused = queueNow.patch({ maxSessions: 7, weights: { fine: 1 }, ...patch });
        expect(refused).toMatchObject({ ok: false, code: "invalid_request", detail: expect.stringMatching(message) });
        expect(queueNow.inForce.maxSessions.origin).toBe("default");
      }
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "overrides are bounded after merging, by names and by bytes",
    run(queue) {
      const queueNow = deploy(queue, {});
      expect(queueNow.patch({ weights: weightsOf(600) })).toBeNull();
      const before = queue.everything();
      expect(queueNow.patch({ weights: weightsOf(401, 600), slots: 2 })).toMatchObject({
        detail: expect.stringMatching(/weights would name 1001, and names at most 1000/),
      });
      expect(queueNow.inForce.slots.origin).toBe("default");
      expect(queue.everything()).toBe(before);
      expect(queueNow.patch({ weights: { ...weightsOf(400, 600), "fair-0": null, another: 2 } })).toBeNull();

      const many = (count: number) =>
        named(
          Array.from({ length: count }, (_, n): [string, { concurrency: number }] => [`n${n}`, { concurrency: 1 }]),
        );
      expect(queueNow.patch({ tasks: many(201) })).toMatchObject({ detail: expect.stringContaining("tasks would") });
      expect(queueNow.patch({ limits: many(33) })).toMatchObject({ detail: expect.stringContaining("limits would") });
      expect(queueNow.patch({ limits: { tenant: { values: many(1_001) } } })).toMatchObject({
        detail: expect.stringContaining("limits.tenant.values would name 1001"),
      });
      expect(queueNow.patch({ tasks: many(200), limits: { tenant: { values: many(1_000) } } })).toBeNull();
      const long = (kind: string) =>
        named(Array.from({ length: 900 }, (_, n) => [`${kind}${n}${"€".repeat(90)}`, { concurrency: 1 }]));
      expect(queueNow.patch({ limits: { long: { values: long("a") } } })).toMatchObject({
        ok: false,
        detail: expect.stringMatching(/would take \d{6} bytes as JSON, and take at most 262144/),
      });
    },
  },
  {
    name: "a bucket keeps its tokens when its rate changes, and starves nobody after a deploy",
    run(queue) {
      const rate = (limit: number, perMs: number, burst: number) => ({ rateLimit: { limit, perMs, burst } });
      let sessions = 0;
      const claims = () => queue.claim(`s${++sessions}`).length;
      const queueNow = deploy(queue, { maxSessions: 100 });
      queue.add({}, 100);
      queueNow.patch(rate(1, DAY, 10));
      expect(claims()).toBe(10);
      // Empty stays empty, but fills at the new rate.
      queueNow.patch(rate(10, 1_000, 20));
      expect(claims()).toBe(0);
      queue.now += 1_000;
      expect(claims()).toBe(10);
      queue.now += 500;
      queueNow.patch(rate(1, 60_000, 20));
      expect(claims()).toBe(5);
      queue.now += 60_000;
      expect(claims()).toBe(1);
      queueNow.patch(rate(1, DAY, 10));

      deploy(queue, rate(1, DAY, 10)).patch({ rateLimit: null });
      queue.now += 10 * DAY;
      expect(claims()).toBe(10);
      deploy(queue, rate(10, 1_000, 10));
      expect(claims()).toBe(0);
      queue.now += 1_000;
      expect(claims()).toBe(10);
    },
  },
];
