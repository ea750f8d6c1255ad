import { describe, expect, it } from "vitest";
import { type SocketHost, Sockets } from "../../durable-objects/sockets.ts";

/** A socket that keeps what it is told, on a platform that notes pings when told to. */
function world() {
  const clock = { now: 1_000_000, pingedAt: null as number | null };
  const tags = ["watcher"];
  const sent: string[] = [];
  const closed: [code: number, reason: string][] = [];
  let attachment: unknown = { kind: "watcher", heardAt: clock.now };
  const socket = {
    readyState: WebSocket.OPEN as number,
    send: (text: string) => void sent.push(text),
    close(code: number, reason: string) {
      closed.push([code, reason]);
      this.readyState = WebSocket.CLOSING;
    },
    serializeAttachment: (value: unknown) => {
      attachment = value;
    },
    deserializeAttachment: () => attachment,
  };
  const host = {
    getTags: () => tags,
    getWebSockets: () => [socket],
    getWebSocketAutoResponseTimestamp: () => (clock.pingedAt === null ? null : new Date(clock.pingedAt)),
  };
  const sockets = new Sockets(host as unknown as SocketHost, () => clock.now);
  return { clock, tags, sent, closed, socket: socket as unknown as WebSocket, sockets };
}

const KIB = "x".repeat(1024);

describe("what is sent to who does not read", () => {
  it("is at most 256 messages, once nothing was heard for 30 s", () => {
    const { clock, closed, sent, socket, sockets } = world();
    for (let i = 0; i < 300; i++) expect(sockets.send(socket, "x")).toBe(true);
    clock.now += 30_000;
    expect(sockets.send(socket, "x")).toBe(true);
    clock.now += 1;
    expect(sockets.send(socket, "x")).toBe(false);
    expect(closed).toEqual([[4009, "does not read"]]);
    expect(sent).toHaveLength(301);
    expect(sockets.dropped).toBe(1);
    expect(sockets.tagged("watcher")).toEqual([]);
  });

  it("is at most a mebibyte then, and eight at any time", () => {
    const slow = world();
    for (let i = 0; i < 16; i++) slow.sockets.send(slow.socket, KIB.repeat(64));
    slow.clock.now += 30_001;
    expect(slow.sockets.send(slow.socket, "x")).toBe(false);

    const fast = world();
    for (let i = 0; i < 8; i++) expect(fast.sockets.send(fast.socket, KIB.repeat(1024))).toBe(true);
    expect(fast.sockets.send(fast.socket, "x")).toBe(false);
    expect(fast.closed).toEqual([[4009, "does not read"]]);
  });

  it("counts afresh with each ping and each frame", () => {
    const { clock, closed, socket, sockets } = world();
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 7; i++) expect(sockets.send(socket, KIB.repeat(1024))).toBe(true);
      clock.now += 20_000;
      if (round % 2 === 0) clock.pingedAt = clock.now;
      else sockets.heard(socket);
    }
    expect(closed).toEqual([]);
    expect(sockets.isAlive(socket)).toBe(true);
    clock.now += 50_001;
    expect(sockets.isAlive(socket)).toBe(false);
  });

  it("goes nowhere, and throws nothing, when the socket is gone", () => {
    const { socket, sockets } = world();
    const fail = () => {
      throw new Error("gone");
    };
    Object.assign(socket, { send: fail, close: fail });
    expect(sockets.send(socket, "x")).toBe(false);
    sockets.drop(socket, 1008, "no");
    sockets.end(socket);
    Object.assign(socket, { send: () => {}, readyState: WebSocket.CLOSED });
    expect(sockets.send(socket, "x")).toBe(false);
  });

  it("what a wake finds in the attachment is when it was heard last", () => {
    const { clock, socket, sockets } = world();
    clock.now += 40_000;
    sockets.heard(socket);
    sockets.keep(socket, { kind: "watcher", more: 1 });
    const woken = new Sockets(
      { getTags: () => [], getWebSocketAutoResponseTimestamp: () => null } as unknown as SocketHost,
      () => clock.now,
    );
    clock.now += 50_000;
    expect(woken.isAlive(socket)).toBe(true);
    clock.now += 1;
    expect(woken.isAlive(socket)).toBe(false);
  });
});

it("nothing is sent to one whose token has expired", () => {
  const { clock, tags, closed, sent, socket, sockets } = world();
  tags.push("token tok-a", `until ${clock.now + 10}`);
  clock.now += 9;
  expect([sockets.isAlive(socket), sockets.isOver(socket), sockets.send(socket, "x")]).toEqual([true, false, true]);
  clock.now += 1;
  expect([sockets.isAlive(socket), sockets.isOver(socket), sockets.send(socket, "x")]).toEqual([false, true, false]);
  expect([sent, closed]).toEqual([["x"], [[4001, "its token has expired"]]]);
});
