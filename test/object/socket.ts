/** A remote worker on a WebSocket of a queue's object. */
import type { ConnectFrame, ExchangeRequest, ExchangeResponse, Outcome } from "../../client/types.ts";
import { GRANT_HEADER, type Grant, writeGrant } from "../../durable-objects/queue-object.ts";
import { type Stub, until } from "./support.ts";

export type Answer = { type: "answer" } & ExchangeResponse;
export type Push = Extract<ConnectFrame, { type: "push" }>;

/** Opens a socket to the object as the Worker does. */
export async function connect(stub: Stub, session: string = crypto.randomUUID(), grant: Partial<Grant> = {}) {
  const headers = {
    upgrade: "websocket",
    [GRANT_HEADER]: writeGrant({ tasks: null, queues: null, name: null, ...grant }),
  };
  const { status, webSocket } = await stub.fetch("https://object/connect", { headers });
  if (status !== 101 || !webSocket) throw new Error(`The upgrade was answered with ${status}`);
  const frames: ConnectFrame[] = [];
  const pongs: string[] = [];
  const closed: { code: number; reason: string }[] = [];
  webSocket.addEventListener("message", ({ data }) => {
    if (data === "pong") pongs.push(data);
    else frames.push(JSON.parse(String(data)));
  });
  webSocket.addEventListener("close", ({ code, reason }) => {
    closed.push({ code, reason });
  });
  webSocket.accept();
  let n = 0;
  let read = 0;
  return {
    session,
    frames,
    closed,
    close: () => webSocket.close(1000, "bye"),
    send: (data: string | ArrayBuffer) => webSocket.send(data),
    async ping(): Promise<void> {
      const before = pongs.length;
      webSocket.send("ping");
      await until(() => pongs.length > before);
    },
    /** Sends an exchange; `n` goes on by itself. */
    ask(fields: Partial<ExchangeRequest> = {}): void {
      n = fields.n ?? n + 1;
      const request = {
        session,
        n,
        worker: { name: "remote", runtime: "test" },
        holding: [],
        settle: [],
        progress: [],
      };
      webSocket.send(JSON.stringify({ ...request, want: 0, ...fields }));
    },
    /** The next frame that was not taken yet. */
    async next<Type extends ConnectFrame["type"]>(type: Type): Promise<Extract<ConnectFrame, { type: Type }>> {
      await until(() => frames.length > read);
      const frame = frames[read++]!;
      if (frame.type !== type) throw new Error(`Wanted a frame "${type}", got ${JSON.stringify(frame)}`);
      return frame as Extract<ConnectFrame, { type: Type }>;
    },
    async exchange(fields: Partial<ExchangeRequest> = {}): Promise<Answer> {
      this.ask(fields);
      return this.next("answer");
    },
  };
}

export const completed = ({ id, fence }: { id: string; fence: number }): Outcome => ({
  id,
  fence,
  outcome: "completed",
});
export const heldOf = (jobs: { id: string; fence: number }[]) =>
  jobs.map(({ id, fence }): [string, number] => [id, fence]);
export const idsOf = (jobs: { id: string }[]) => jobs.map(({ id }) => id);
