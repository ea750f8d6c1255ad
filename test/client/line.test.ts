import { expect, it } from "vitest";
import { Line } from "../../client/line.ts";
import type { ExchangeRequest } from "../../client/types.ts";

const request = (session: string): ExchangeRequest => ({
  session,
  n: 1,
  worker: { name: "test", runtime: "test", tasks: ["mail"] },
  holding: [],
  settle: [],
  progress: [],
  want: 1,
});

it("says nothing of a session that was given up while the handshake took its time", async () => {
  const target = new EventTarget();
  const sent: string[] = [];
  const socket = Object.assign(target, { send: (text: string) => void sent.push(text), close() {} });
  const options = {
    url: "http://test",
    token: "token",
    queue: "mail",
    send: () => Promise.reject(new Error("nothing is polled")),
    makeSocket: () => socket as unknown as WebSocket,
    socketOnly: false,
  };
  const ports = { now: () => 0, timer: () => () => {} };
  const line = new Line(options, ports, { pushed() {}, changed() {} });

  const given = line.exchange(request("before"), 0);
  line.reset();
  void line.exchange(request("after"), 0);
  target.dispatchEvent(new Event("open"));
  await expect(given).rejects.toMatchObject({ code: "network", retryable: true });
  expect(sent.map((text) => JSON.parse(text).session)).toEqual(["after"]);
});
