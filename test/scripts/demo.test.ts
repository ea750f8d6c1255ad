import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../client/index.ts";
import { digestOf, type FileReport, findFiles, readReport } from "../../scripts/demo/files.ts";
import { createProgressView, formatProgress, type Progress } from "../../scripts/demo/progress.ts";
import { type Delivery, type Receiver, startReceiver, temperOf } from "../../scripts/demo/receiver.ts";
import { reconcile } from "../../scripts/demo/reconcile.ts";

describe("the files", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-files-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("are the regular, visible ones of all folders, in order", async () => {
    for (const name of ["sub/deep", "node_modules/x", ".git"]) mkdirSync(join(folder, name), { recursive: true });
    for (const name of ["b.md", "a.txt", "sub/deep/c.md", "node_modules/x/d.md", ".git/e.md", ".f.md"]) {
      writeFileSync(join(folder, name), name);
    }
    symlinkSync(join(folder, "b.md"), join(folder, "link.md"));
    expect(await findFiles(folder)).toEqual(["a.txt", "b.md", "sub/deep/c.md"]);
    expect(await findFiles(folder, (name) => name.endsWith(".md"))).toEqual(["b.md", "sub/deep/c.md"]);
  });

  it("are told with size, digest and text", async () => {
    writeFileSync(join(folder, "a.md"), "\ufeffgrüße\r\n\0");
    const report = await readReport(folder, "a.md");
    expect(report).toMatchObject({ name: "a.md", size: 13, text: "\ufeffgrüße\r\n\0" });
    expect(report.digest).toBe(digestOf("\ufeffgrüße\r\n\0"));
  });

  it("have no text where they are not UTF-8", async () => {
    writeFileSync(join(folder, "a.bin"), Buffer.from([0x89, 0x50, 0xff, 0xd8]));
    expect(await readReport(folder, "a.bin")).toMatchObject({ size: 4, text: null });
  });

  it("are sent up to 100 KiB, cut between characters", async () => {
    writeFileSync(join(folder, "a.md"), "€".repeat(100_000));
    const { size, text } = await readReport(folder, "a.md");
    expect(size).toBe(300_000);
    expect(text).toBe("€".repeat(Math.floor((100 * 1024) / 3)));
  });

  it.each(["\n", "\u0001", '"', "😀"])("fit a payload of 128 KiB as JSON when full of %j", async (character) => {
    writeFileSync(join(folder, "a.md"), `x${character.repeat(150_000)}`);
    const report = await readReport(folder, "a.md");
    expect(report.text?.isWellFormed()).toBe(true);
    expect(report.text!.length).toBeGreaterThan(10_000);
    const payload = JSON.stringify({ url: "http://127.0.0.1:65535/", body: report });
    expect(Buffer.byteLength(payload)).toBeLessThanOrEqual(128 * 1024);
  });
});

describe("the receiver", () => {
  const names = Array.from({ length: 20 }, (_, index) => `file-${index}`);
  const expected = new Map(names.map((name, index) => [name, { index, size: name.length, digest: digestOf(name) }]));
  let receiver: Receiver;
  beforeEach(async () => {
    receiver = await startReceiver({ expected, delayMs: 0 });
  });
  afterEach(() => receiver.close());

  async function post(name: string, change: Partial<FileReport> = {}): Promise<Response> {
    const report = { name, size: name.length, digest: digestOf(name), text: name, ...change };
    const headers = { "idempotency-key": `demo:0:${name}/0` };
    return await fetch(receiver.url, { method: "POST", headers, body: JSON.stringify(report) });
  }

  it("fails one in five once, puts off one in ten once, and refuses one for ever", async () => {
    const first = await Promise.all(names.map(async (name) => (await post(name)).status));
    const second = await Promise.all(names.map(async (name) => (await post(name)).status));
    const count = (statuses: number[], status: number) => statuses.filter((each) => each === status).length;
    expect([500, 429, 422, 200].map((status) => count(first, status))).toEqual([4, 2, 1, 13]);
    expect([500, 429, 422, 200].map((status) => count(second, status))).toEqual([0, 0, 1, 19]);
    expect(receiver.requests()).toBe(40);
  });

  it("says with 429 when to come again", async () => {
    expect((await post("file-3")).headers.get("retry-after")).toBe("1");
  });

  it("notices what arrives changed, and what nobody sent", async () => {
    await post("file-2", { text: "file-X" });
    await post("file-4", { size: 7 });
    await post("file-5", { digest: "0" });
    await post("unknown");
    const damage = (name: string) => receiver.deliveries.get(name)?.damage;
    expect(damage("file-2")).toBe("its text arrived changed");
    expect(damage("file-4")).toBe("its size is 6, 7 arrived");
    expect(damage("file-5")).toContain("0 arrived");
    expect(damage("unknown")).toBe("nobody sent such a file");
  });

  it("answers 400 to what is no report", async () => {
    expect((await fetch(receiver.url, { method: "POST", body: "{" })).status).toBe(400);
  });
});

describe("the progress", () => {
  const progress: Progress = { total: 200, done: 50, counts: { ready: 120, running: 30, dead: 0 }, phase: "working" };

  it("is a bar with the counts that are not zero", () => {
    expect(formatProgress(progress, 80)).toBe(
      `${"█".repeat(7)}${"░".repeat(23)}  50/200  working · 120 ready · 30 running`,
    );
  });

  it.each([0, 1, 10, 20, 40, 47, 48, 60, 100, 300])("fits %i columns", (columns) => {
    expect(formatProgress(progress, columns).length).toBeLessThanOrEqual(columns);
  });

  it.each([
    [52, "██░░░░░░░░  50/200  working · 120 ready · 30 running"],
    [49, "██░░░░░░  50/200  working · 120 ready"],
    [40, "██░░░░░░  50/200  working · 120 ready"],
    [30, "██░░░░░░  50/200  working"],
    [16, "██░░░░░░  50/200"],
    [15, " 50/200"],
    [3, " 50"],
  ])("leaves out what does not fit %i columns", (columns, line) => {
    expect(formatProgress(progress, columns)).toBe(line);
  });

  it("stands complete when there is nothing to do", () => {
    expect(formatProgress({ total: 0, done: 0, counts: null, phase: "working" }, 40)).toMatch(/^█+ 0\/0 {2}working$/);
  });

  it("rewrites one line on a terminal, and only when it changed", () => {
    const written: string[] = [];
    const view = createProgressView({ isTTY: true, columns: 40, write: (text) => written.push(text) });
    view.show(progress);
    view.show(progress);
    view.show({ ...progress, done: 60 });
    view.close();
    expect(written).toHaveLength(3);
    expect(written[1]!.startsWith("\r\u001b[K")).toBe(true);
    expect(written[1]!.length).toBeLessThan(40 + "\r\u001b[K".length);
    expect(written[2]).toBe("\n");
  });

  it("writes plain lines elsewhere, every two seconds and at each new phase", () => {
    const written: string[] = [];
    let now = 0;
    const view = createProgressView({ write: (text) => written.push(text) }, () => now);
    for (; now < 5_000; now += 100) view.show({ ...progress, done: now / 100 });
    view.show({ ...progress, done: 60, phase: "killed" });
    view.close();
    expect(written).toHaveLength(4);
    expect(written.every((line) => line.endsWith("\n") && !line.includes("\u001b") && !line.includes("\r"))).toBe(true);
  });
});

describe("the reconciliation", () => {
  const files = ["a", "b", "c"];
  const job = (id: string, change: Partial<Job> = {}) =>
    ({ id, state: "completed", failures: 0, lapses: 0, ...change }) as Job;
  const once = (change: Partial<Delivery> = {}): Delivery => ({
    ...{ requests: 1, accepted: 1, keys: ["key"], damage: null },
    ...change,
  });
  const good = () => ({
    files,
    accepted: new Map(files.map((name) => [name, `demo:0:${name}`])),
    deliveries: new Map([
      ["a", once({ accepted: 0, keys: [] })],
      ["b", once({ requests: 2 })],
      ["c", once({ requests: 2, accepted: 2, keys: ["key", "key"] })],
    ]),
    history: [job("demo:0:a", { state: "dead" }), job("demo:0:b", { failures: 1 }), job("demo:0:c"), job("demo:0:x")],
  });

  it("finds nothing missing where every file was delivered, or refused for good", () => {
    expect(temperOf(0)).toBe("refuses");
    expect(reconcile(good())).toEqual({
      counts: [
        ["files", 3],
        ["accepted", 3],
        ["delivered", 2],
        ["delivered twice", 1],
        ["retried", 1],
        ["dead", 1],
        ["in history", 3],
      ],
      missing: [],
    });
  });

  type Books = ReturnType<typeof good>;
  it.each<[string, (books: Books) => unknown, string]>([
    ["was not accepted", ({ accepted }) => accepted.delete("b"), "b: not accepted"],
    ["was never delivered", ({ deliveries }) => deliveries.delete("b"), "b (demo:0:b): never delivered"],
    [
      "was answered with failures only",
      ({ deliveries }) => deliveries.set("b", once({ accepted: 0 })),
      "never delivered",
    ],
    ["arrived changed", ({ deliveries }) => deliveries.set("b", once({ damage: "its text…" })), "its text…"],
    [
      "came under two keys",
      ({ deliveries }) => deliveries.set("b", once({ keys: ["1", "2"] })),
      "different Idempotency",
    ],
    ["is not in the history", ({ history }) => history.splice(1, 1), "b (demo:0:b): not in the history"],
    ["is twice in the history", ({ history }) => history.push(job("demo:0:c")), "c (demo:0:c): 2 times in the history"],
    [
      "is dead and should not be",
      ({ history }) => history.splice(2, 1, job("demo:0:c", { state: "dead" })),
      "should be",
    ],
    ["should be dead and is not", ({ history }) => history.splice(0, 1, job("demo:0:a")), "a (demo:0:a): completed"],
    ["shares its job", ({ accepted }) => accepted.set("b", "demo:0:c"), "two files got the same job"],
  ])("notices a file that %s", (_, spoil, fault) => {
    const books = good();
    spoil(books);
    expect(reconcile(books).missing.join("\n")).toContain(fault);
  });
});
