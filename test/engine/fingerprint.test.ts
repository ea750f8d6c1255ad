import { describe, expect, it } from "vitest";
import { fingerprintOf } from "../../durable-objects/engine/fingerprint.ts";

const of = (message: string, stack: string | null = null, name = "Error") => fingerprintOf({ name, message, stack });

describe("a fingerprint", () => {
  it("is the same on every machine and in every release", () => {
    expect(of("no such user", "TypeError: no such user\n    at mail (file:///app/mail.ts:10:5)", "TypeError")).toBe(
      "78ee27b3f9f754bd",
    );
    expect(of("")).toMatch(/^[0-9a-f]{16}$/);
  });

  it.each([
    ["numbers", "no user 17", "no user 4711"],
    ["ids with letters", "order ord_8fK2 is gone", "order ord_99xQ is gone"],
    ["UUIDs", "no 3f2b8c71-d9aa-4e0b-8f1c-0123456789ab here", "no 00000000-0000-4000-8000-000000000000 here"],
    ["hex without a digit", "commit deadbeef is bad", "commit cafebabe is bad"],
    ["what is quoted twice", 'no user "ada"', 'no user "grace lovelace"'],
    ["addresses", "bounced: ada@example.com", "bounced: grace@example.org"],
    ["durations", "no answer within 250ms", "no answer within 1000ms"],
    ["paths with ids", "GET /users/17/mails: 404", "GET /users/1/mails: 500"],
    ["what comes after a thousand characters", `${"x".repeat(1_000)}a`, `${"x".repeat(1_000)}b`],
  ])("leaves out %s", (_what, one, other) => {
    expect(of(one)).toBe(of(other));
  });

  it.each([
    ["words", "no such user", "no such mail"],
    ["names in single quotes", "reading 'length'", "reading 'size'"],
    ["hex words that are words", "bad face", "bad cafe"],
  ])("keeps %s", (_what, one, other) => {
    expect(of(one)).not.toBe(of(other));
  });

  it("tells names apart", () => {
    expect(of("x", null, "TypeError")).not.toBe(of("x", null, "RangeError"));
  });

  const frames = (...lines: string[]) => `Error: x\n${lines.map((line) => `    ${line}`).join("\n")}`;
  it("looks at the top three frames, not at lines, folders, endings or hashes of bundles", () => {
    const here = frames(
      "at send (file:///home/ada/app/mail.ts:10:5)",
      "at async Object.run (/srv/app/worker.ts:1:1)",
      "at node:internal/process/task_queues:105:5",
      "at further (/srv/x.ts:1:2)",
    );
    const there = frames(
      "at send (https://app.example.com/mail.js?v=8f3a:99:1)",
      "at Object.run (worker.js:77:20)",
      "at node:internal/process/task_queues:95:5",
      "at elsewhere (/srv/y.ts:1:2)",
    );
    expect(of("x", here)).toBe(of("x", there));
    expect(of("x", here)).not.toBe(of("x", here.replace("at send ", "at post ")));
    expect(of("x", here)).not.toBe(of("x", here.replace("mail.ts", "sms.ts")));
    expect(of("x", frames("at a (/srv/chunk-4f3a9c.js:1:1)"))).toBe(of("x", frames("at a (/srv/chunk-77aa01.js:9:9)")));
  });

  it("knows the stacks of other engines", () => {
    const gecko = "send@https://app.example.com/mail.js:10:5\nrun@https://app.example.com/worker.js:1:1\n";
    expect(of("x", gecko)).toBe(of("x", gecko.replaceAll(":10:5", ":99:1")));
    expect(of("x", gecko)).not.toBe(of("x", gecko.replace("send@", "post@")));
  });

  it("takes time in proportion to the text, whatever the text", () => {
    const startedAt = performance.now();
    for (const unit of ["a", '"', "a@", "(", " at ", "-", "@:1", "\n", "'a", "at (:", "e"]) {
      of(unit.repeat(4_096), unit.repeat(16_384));
    }
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});
