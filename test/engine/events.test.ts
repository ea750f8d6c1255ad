import { describe, expect, it } from "vitest";
import type { JobEvent } from "../../client/types.ts";
import { eventsSince, readCursor, type Seen, toldOf } from "../../durable-objects/engine/events.ts";

const LINES: [number, string, string, null][] = Array.from({ length: 5 }, (_, n) => [n, "info", `line ${n + 1}`, null]);
const logs = (count: number, kept = count): string => JSON.stringify([count, LINES.slice(count - kept, count)]);

/** A job, as it comes along. */
const WAITING: Seen = {
  ...{ id: "mail:0:7", task: "mail", state: "ready", reason: null, attempt: 1, fence: 0 },
  ...{ progress: null, logs: null, result: null, error: null },
};
const error = JSON.stringify({ name: "Error", message: "no", stack: null });
const RUNNING: Seen = { ...WAITING, state: "running", fence: 1 };
const LIFE: Seen[] = [
  WAITING,
  RUNNING,
  { ...RUNNING, logs: logs(2) },
  { ...RUNNING, logs: logs(2), progress: '{"percent":40,"note":null}' },
  { ...RUNNING, logs: logs(3), progress: '{"percent":80,"note":"soon"}' },
  { ...RUNNING, state: "scheduled", reason: "retrying", attempt: 2, logs: logs(3), progress: '{"percent":80}', error },
  { ...RUNNING, state: "ready", attempt: 2, logs: logs(3), progress: '{"percent":80}', error },
  { ...RUNNING, fence: 2, attempt: 2, logs: logs(5, 3), progress: '{"percent":100}', error },
  {
    ...RUNNING,
    state: "completed",
    fence: 3,
    attempt: 2,
    logs: logs(5, 3),
    progress: '{"percent":100}',
    result: '{"n":1}',
    error,
  },
];
const ENDED = LIFE.at(-1)!;

const tellAll = (seen: Seen[], from: string | null = null) => {
  let cursor = from;
  return seen.flatMap((one) => {
    const events = eventsSince(cursor === null ? null : readCursor(cursor)!, one);
    cursor = events.at(-1)?.cursor ?? cursor;
    return events;
  });
};
const kinds = (events: { event: JobEvent }[]): string[] => events.map(({ event }) => event.event);

describe("the events of a job", () => {
  it("begin with the state as it is, then lines, progress and result", () => {
    expect(kinds(eventsSince(null, WAITING))).toEqual(["state"]);
    expect(kinds(eventsSince(null, ENDED))).toEqual(["state", "log", "log", "log", "progress", "result"]);
    expect(kinds(eventsSince(null, LIFE[4]!))).toEqual(["state", "log", "log", "log", "progress"]);
  });

  it("tell each change once", () => {
    expect(kinds(tellAll(LIFE.flatMap((seen) => [seen, seen])))).toEqual([
      ...["state", "state", "log", "log", "progress", "log", "progress", "state"],
      ...["progress", "state", "state", "log", "log", "progress", "state", "result"],
    ]);
  });

  it("number the lines from 1, also where the first are not kept any more", () => {
    const numbers = (events: { event: JobEvent }[]) =>
      events.flatMap(({ event }) => (event.event === "log" ? [[event.n, event.message]] : []));
    expect(numbers(eventsSince(null, ENDED))).toEqual([
      [3, "line 3"],
      [4, "line 4"],
      [5, "line 5"],
    ]);
    expect(numbers(tellAll(LIFE)).map(([n]) => n)).toEqual([1, 2, 3, 4, 5]);
  });

  it("say so when a job that is run again has no progress any more", () => {
    const again = { ...ENDED, state: "ready" as const, fence: 4, result: null, progress: null };
    const events = eventsSince({ ...toldOf({ ...ENDED, progress: '{"percent":100}' }), ended: true }, again);
    expect(kinds(events)).toEqual(["state", "progress"]);
    expect(events[1]!.event).toEqual({ event: "progress", id: "mail:0:7", percent: null, note: null });
  });

  it("tell the result of each end, and nothing after it", () => {
    const told = tellAll(LIFE);
    expect(told.at(-1)!.event).toEqual({
      ...{ event: "result", id: "mail:0:7", state: "completed", reason: null, result: { n: 1 }, error: null },
    });
    expect(eventsSince(readCursor(told.at(-1)!.cursor), ENDED)).toEqual([]);
    const dead: Seen = { ...ENDED, state: "dead", reason: "exhausted", fence: 6, result: null };
    const again = eventsSince(readCursor(told.at(-1)!.cursor), dead);
    expect(again.at(-1)!.event).toMatchObject({ event: "result", state: "dead", error: { message: "no" } });
  });
});

describe("a stream that was cut", () => {
  it("goes on where it was, at each cut, without loss and without repeats", () => {
    for (const upto of LIFE.keys()) {
      const whole = tellAll(LIFE.slice(0, upto + 1));
      for (const cut of whole.keys()) {
        const before = whole.slice(0, cut + 1);
        // What the job has become meanwhile is all that there is to tell from.
        const after = eventsSince(readCursor(before.at(-1)!.cursor), LIFE[upto]!);
        const last = (events: typeof whole, kind: string) =>
          events.findLast(({ event }) => event.event === kind)?.event;
        const lines = (events: typeof whole) => events.flatMap(({ event }) => (event.event === "log" ? [event.n] : []));
        const both = [...before, ...after];
        for (const kind of ["state", "progress", "result"]) expect(last(both, kind)).toEqual(last(whole, kind));
        const kept = lines(whole).filter((n) => upto < 7 || n >= 3 || lines(before).includes(n));
        expect(lines(both)).toEqual(kept);
        if (cut === whole.length - 1) expect(after).toEqual([]);
      }
    }
  });

  it("knows its cursors, and nothing else", () => {
    for (const { cursor } of tellAll(LIFE)) expect(readCursor(cursor)).not.toBeNull();
    const none = ["", "0", "1-2-3", "a-b-c-d", "1-b-c-2-endless", "1-b-c-2-end ", "-1-b-c-2", "1-b-c--2", "1-B-c-2"];
    for (const text of [...none, `1-b-c-${"9".repeat(40)}`, "1-b-c-2\n"]) expect(readCursor(text), text).toBeNull();
  });
});
