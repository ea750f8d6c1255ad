import { expect, it, vi } from "vitest";
import { eventStream } from "../../../worker/event-stream.ts";
import { reading } from "./support.ts";

const until = (what: () => unknown) => vi.waitFor(() => expect(what()).toBeTruthy(), { timeout: 5_000 });

/** A stream, and the object's end of its socket. */
function streamed(times: { commentMs?: number; unreadMs?: number } = {}) {
  const { 0: socket, 1: object } = new WebSocketPair();
  const heard: string[] = [];
  const closed: [code: number, reason: string][] = [];
  object.addEventListener("message", ({ data }) => void heard.push(String(data)));
  object.addEventListener("close", ({ code, reason }) => void closed.push([code, reason]));
  object.accept();
  const body = eventStream(socket, { commentMs: 60_000, unreadMs: 60_000, ...times });
  const tell = (cursor: string, note = "") =>
    object.send(JSON.stringify({ cursor, event: { event: "progress", id: "q:0:1", percent: null, note } }));
  return { body, socket, object, heard, closed, tell };
}

it("comments, and gives the object signs of life, while nothing happens", async () => {
  const { body, heard, closed } = streamed({ commentMs: 20 });
  const seen = reading(new Response(body));
  await until(() => seen.comments >= 3);
  expect(new Set(heard)).toEqual(new Set(["ping"]));
  expect(seen.told).toEqual([]);
  await seen.cancel();
  await until(() => closed.length === 1);
  expect(closed[0]![0]).toBe(1000);
});

it("waits for its reader, loses nothing, and ends when the object has told all", async () => {
  const { body, object, tell } = streamed();
  for (let n = 0; n < 500; n++) tell(String(n), "x".repeat(100));
  object.close(1000, "ended");
  await new Promise((resolve) => setTimeout(resolve, 50));
  const seen = reading(new Response(body));
  await seen.finished;
  expect(seen.told.map(({ id }) => Number(id))).toEqual(Array.from({ length: 500 }, (_, n) => n));
});

it("drops a reader that does not read, and gives the object no sign of life for it", async () => {
  const { body, closed, heard, tell } = streamed({ commentMs: 20, unreadMs: 100 });
  for (let n = 0; n < 100; n++) tell(String(n), "x".repeat(100));
  await until(() => closed.length === 1);
  expect(closed[0]).toEqual([4009, "does not read"]);
  expect(heard).toEqual([]);
  await expect(new Response(body).text()).rejects.toThrow();
});

it("lets the object go when its reader goes in the middle", async () => {
  const { body, closed, tell } = streamed();
  const reader = body.getReader();
  await reader.read();
  await reader.cancel();
  for (let n = 0; n < 3 && closed.length === 0; n++) {
    tell(String(n));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await until(() => closed.length === 1);
});

it("says nothing more to an object that has told all, while its reader is slow", async () => {
  const { body, socket, object, tell } = streamed({ commentMs: 20 });
  const said = vi.spyOn(socket, "send");
  tell("1");
  object.close(1000, "ended");
  await new Promise((resolve) => setTimeout(resolve, 10));
  const reader = body.getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(said).not.toHaveBeenCalled();
  expect(await reader.read()).toMatchObject({ done: true });
});
