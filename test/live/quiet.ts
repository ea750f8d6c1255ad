/** Many watchers of a queue in which nothing happens, in the real runtime. */
import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { startWorker } from "../support/harness.ts";

const TOKEN = "a-token-of-the-tests-of-live-views";
/** The platform puts an object to sleep after ten seconds. */
const ASLEEP_MS = 15_000;
const AT_ONCE = 50;
const WITHIN_MS = 60_000;

export interface Quiet {
  /** How often the object was made while nothing happened, and when then something did. */
  madeWhileQuiet: number;
  madeByChange: number;
  /** Watchers that were told how things are, and how many of those of the job its result. */
  told: number;
  toldResult: number;
  watchers: number;
}

/** Half of the streams and of the sockets watch one job, the others its queue. */
export async function watchQuietly(streams: number, sockets: number, quietMs: number): Promise<Quiet> {
  const { url, client, stop } = await startWorker("test/live/wrangler.toml", TOKEN);
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY, keepAlive: true });
  const leaves: (() => void)[] = [];
  try {
    const made = async () => (await (await fetch(`${url}/made`)).json()) as number;
    const { id } = await client.enqueue("rest", null, { delay: "2h" });
    const paths = [`/v1/jobs/${id}/events`, "/v1/queues/quiet/events"];
    const heard: string[] = [];
    const open = (index: number): void => {
      heard[index] = "";
      const hear = (text: string): void => {
        heard[index] += text;
      };
      const path = paths[index % 2]!;
      leaves.push(index < streams ? stream(agent, url + path, hear) : socket(url + path, hear));
    };
    for (let index = 0; index < streams + sockets; index++) {
      open(index);
      if (index % AT_ONCE === 0) await sleep(20);
    }
    const isTold = (text: string) => text.includes('"state":"scheduled"') || text.includes('"event":"counts"');
    await until(() => heard.every(isTold));
    await sleep(ASLEEP_MS);
    const before = await made();
    await sleep(quietMs);
    const madeWhileQuiet = (await made()) - before;
    await client.job(id).cancel();
    const ofJob = () => heard.filter((_, index) => index % 2 === 0);
    const isResult = (text: string) => text.includes('"event":"result"');
    await until(() => heard.every(isResult));
    return {
      madeWhileQuiet,
      madeByChange: (await made()) - before - madeWhileQuiet,
      told: heard.filter(isTold).length,
      toldResult: ofJob().filter(isResult).length,
      watchers: heard.length,
    };
  } finally {
    for (const leave of leaves) leave();
    agent.destroy();
    await stop();
  }
}

/** Whatever the time, so that what is missing is counted. */
async function until(what: () => boolean): Promise<void> {
  for (const endsAt = Date.now() + WITHIN_MS; !what() && Date.now() < endsAt; ) await sleep(50);
}

function stream(agent: Agent, url: string, hear: (text: string) => void): () => void {
  const request = get(url, { agent, headers: { authorization: `Bearer ${TOKEN}` } }, (response) => {
    response.setEncoding("utf8").on("data", hear);
    response.on("error", () => {});
  });
  request.on("error", () => {});
  return () => request.destroy();
}

function socket(url: string, hear: (text: string) => void): () => void {
  const opened = new WebSocket(url.replace("http", "ws"), ["millrace", `bearer.${TOKEN}`]);
  const ping = setInterval(() => opened.readyState === WebSocket.OPEN && opened.send("ping"), 20_000);
  opened.addEventListener("message", ({ data }) => hear(String(data)));
  opened.addEventListener("error", () => {});
  return () => {
    clearInterval(ping);
    opened.close();
  };
}
