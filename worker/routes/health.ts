/**
 * `GET /healthz`: open to all, so it says little, and looks at most every ten seconds.
 *
 * @module
 */
import { DEFAULT_QUEUE } from "../config.ts";
import { LACKS_MIGRATIONS } from "../history/migrations.ts";
import { refuse } from "../problem.ts";
import { health } from "../schemas.ts";
import { within } from "../within.ts";
import { type Answer, ok, route, type Services } from "./route.ts";

const CACHE_MS = 10_000;
const ANSWER_IN_MS = 3_000;

/** A route of its own for each app: what was seen last is kept in it. */
export function healthRoute() {
  let last: { at: number; answer: Answer } | null = null;
  return route({
    method: "get",
    path: "/healthz",
    roles: [],
    summary: "Whether the history and the objects answer; needs no token",
    answers: { 200: { description: "All is well.", schema: health } },
    errors: ["unavailable"],
    async handle(call) {
      if (last !== null && Date.now() - last.at <= CACHE_MS) return last.answer;
      // Kept once it is there: the Workers runtime lets no request wait for another one's promise.
      const answer = await look(call);
      last = { at: Date.now(), answer };
      return answer;
    },
  });
}

async function look(call: Services): Promise<Answer> {
  const [{ lacksMigrations, ...history }, object] = await Promise.all([lookAtHistory(call), lookAtObject(call)]);
  const state = { version: call.version, history, object };
  if (history.ok && object.ok) return ok({ status: "ok", ...state });
  const wrong = ["Not all is well."];
  if (lacksMigrations) wrong.push(LACKS_MIGRATIONS);
  else if (!history.ok) wrong.push("The history (D1) should answer, and does not.");
  if (!object.ok) wrong.push("The queue objects should answer, and do not.");
  return { ...refuse("unavailable", wrong.join(" ")), more: state };
}

async function lookAtHistory(call: Services) {
  let lacksMigrations = false;
  try {
    const seen = await within(ANSWER_IN_MS, call.history().check());
    if (seen.ok) return { ok: true, fullness: Math.round(seen.fullness * 1_000) / 1_000, lacksMigrations };
    ({ lacksMigrations } = seen);
    call.log("error", "history_unhealthy", { detail: seen.detail });
  } catch (error) {
    call.log("error", "history_unhealthy", { error: String(error) });
  }
  return { ok: false, fullness: null, lacksMigrations };
}

/** Any object tells whether objects run; looking at one that was never used writes nothing. */
async function lookAtObject(call: Services): Promise<{ ok: boolean }> {
  try {
    await within(ANSWER_IN_MS, call.stub(DEFAULT_QUEUE).describe());
    return { ok: true };
  } catch (error) {
    call.log("error", "object_unhealthy", { error: String(error) });
    return { ok: false };
  }
}
