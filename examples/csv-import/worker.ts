import { Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { createMillrace } from "millrace/worker";
import { tasks } from "./tasks.ts";

const mill = createMillrace({ tasks, basePath: "/jobs", maxPayloadBytes: 512 * 1024 });
const app = new Hono<{ Bindings: Record<string, unknown> }>();

app.mount("/jobs", mill.routes.fetch);

/** A token for the page: it may enqueue imports in the visitor's own name, and watch those, and nothing else. */
app.post("/session", async (c) => {
  // Your own sign-in stands here. A visitor is whoever has the cookie.
  const user = getCookie(c, "visitor") ?? crypto.randomUUID();
  setCookie(c, "visitor", user, { httpOnly: true, sameSite: "Strict", path: "/", maxAge: 86_400 });
  const { token } = await mill.client(c.env).mintToken({
    name: "csv page",
    role: "producer",
    queues: ["imports"],
    tasks: ["import-csv"],
    pin: { user },
    actor: user,
    rate: { limit: 20, per: "1m" },
    expiresIn: "1h",
  });
  return c.json({ token });
});

export const MillraceQueue = mill.QueueObject;
export default { fetch: app.fetch, queue: mill.queue, scheduled: mill.scheduled };
