import { expect, it } from "vitest";
import { freshWorld, until } from "../object/support.ts";
import { connect } from "./remote-connection.ts";
import { ask, enqueue, settled, worker } from "./remote-support.ts";

freshWorld();

/** Frames that are refused before the object closes the socket. */
const REFUSED_MAX = 20;

it("/metrics counts what workers and watchers do wrong: frames, settles, and sockets that were dropped", async () => {
  const id = await enqueue("pull-wrong");
  const count = async (name: string) => {
    const text = await (await ask("/metrics")).text();
    return Number(text.match(new RegExp(`^millrace_${name}_total\\{queue="pull-wrong"\\} (\\d+)$`, "m"))?.[1]);
  };
  const counts = async () => [
    await count("frames_refused"),
    await count("settles_refused"),
    await count("sockets_dropped"),
  ];
  expect(await counts()).toEqual([0, 0, 0]);

  const nonsense = await connect("pull-wrong");
  for (let sent = 1; sent < REFUSED_MAX; sent++) {
    nonsense.send("nonsense");
    expect(await nonsense.next()).toMatchObject({ type: "problem" });
  }
  expect(await counts()).toEqual([REFUSED_MAX - 1, 0, 0]);
  nonsense.send("nonsense");
  expect(await nonsense.next()).toMatchObject({ type: "problem" });
  expect(await counts()).toEqual([REFUSED_MAX, 0, 1]);

  const { jobs } = await worker("pull-wrong").exchange({ want: 1 });
  const thief = worker("pull-wrong");
  expect(await thief.exchange({ settle: [settled(jobs[0]!), { ...settled(jobs[0]!), id: `${id}9` }] })).toMatchObject({
    refused: [{ code: "not_held" }, { code: "not_held" }],
  });
  expect(await counts()).toEqual([REFUSED_MAX, 2, 1]);

  // So does the Worker that makes server-sent events of it, where these are not read.
  const { webSocket } = await ask(`/v1/jobs/${id}/events`, { headers: { upgrade: "websocket" } });
  webSocket!.accept();
  webSocket!.close(4009, "does not read");
  await until(async () => (await count("sockets_dropped")) === 2);
});
