import { createServer } from "node:net";
import { CannotGoOn } from "./error.ts";

/** Both addresses that `localhost` may mean. */
const LOOPBACKS = ["127.0.0.1", "::1"];

/** A port on which nothing listens now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** Resolves when the port is free; rejects with {@link CannotGoOn} when it is taken or may not be used. */
export async function assertFree(port: number): Promise<void> {
  for (const host of LOOPBACKS) {
    const code = await tryListen(port, host);
    if (code === "EADDRINUSE") {
      throw new CannotGoOn(`Cannot serve on port ${port}: something else listens there. Stop it, or set PORT.`);
    }
    if (code === "EACCES") {
      throw new CannotGoOn(`Cannot serve on port ${port}: the system does not allow it. Set PORT above 1023.`);
    }
  }
}

/** Null when listening worked, otherwise the error's code. A machine without IPv6 answers with its own codes. */
function tryListen(port: number, host: string): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    server.listen(port, host, () => server.close(() => resolve(null)));
  });
}

/** `PORT` as a number, 1 to 65535. Throws {@link CannotGoOn} on anything else. */
export function parsePort(text: string | undefined, fallback: number): number {
  if (text === undefined || text === "") return fallback;
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new CannotGoOn(`Cannot read PORT: it is "${text}", and should be a number from 1 to 65535.`);
}
