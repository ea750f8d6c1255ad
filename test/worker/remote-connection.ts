/** A remote worker's WebSocket, opened through the app. */
import type { ConnectFrame } from "../../client/types.ts";
import { type Ask, ask } from "./remote-support.ts";

/** Opens a socket and keeps what comes until it is asked for. */
export async function connect(queue: string, { headers, ...about }: Ask = {}) {
  const response = await ask(`/v1/queues/${queue}/connect`, {
    headers: { upgrade: "websocket", ...headers },
    ...about,
  });
  const { webSocket } = response;
  if (!webSocket) throw new Error(`The upgrade was answered with ${response.status}: ${await response.text()}`);
  const frames: string[] = [];
  const waiting: ((text: string) => void)[] = [];
  webSocket.addEventListener("message", ({ data }) => {
    const taker = waiting.shift();
    if (taker) taker(String(data));
    else frames.push(String(data));
  });
  webSocket.accept();
  const text = () => {
    const first = frames.shift();
    return first === undefined ? new Promise<string>((resolve) => waiting.push(resolve)) : Promise.resolve(first);
  };
  return {
    response,
    send: (frame: string | ArrayBuffer | object) => {
      const raw = typeof frame === "string" || frame instanceof ArrayBuffer;
      webSocket.send(raw ? frame : JSON.stringify(frame));
    },
    text,
    next: async () => JSON.parse(await text()) as ConnectFrame,
    close: () => webSocket.close(1000, "done"),
  };
}
