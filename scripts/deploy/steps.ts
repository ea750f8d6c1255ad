/**
 * The steps of a deployment, in the order in which each finds what it needs:
 *
 * login, databases, queues (a consumer of a missing queue stops wrangler), migrations (before the code that reads
 * the new tables), the Worker, and its token (a secret can only be kept by a Worker that is there; until then the
 * Worker answers 503 to everybody).
 *
 * Every step looks first and changes only what is missing, so a deployment that was cut short is run again.
 *
 * @module
 */
import { CannotGoOn } from "../local/error.ts";
import { makeToken } from "../local/token.ts";
import type { Plan } from "./plan.ts";
import type { Answer, Wrangler } from "./wrangler.ts";

export type Tell = (line: string) => void;

const SECRET = "MILLRACE_TOKEN";

/** Resolves when everything stands. Throws `CannotGoOn` at the first failure: attempted, found, to do. */
export async function deploy(plan: Plan, wrangler: Wrangler, tell: Tell): Promise<void> {
  await checkLogin(wrangler);
  for (const { name } of plan.databases) {
    tell(`D1 database ${name}: ${await ensure(wrangler, ["d1", "info", name], ["d1", "create", name])}`);
  }
  for (const name of plan.queues) {
    tell(`Queue ${name}: ${await ensure(wrangler, ["queues", "info", name], ["queues", "create", name])}`);
  }
  for (const { binding, name } of plan.databases) {
    tell(`Migrations of ${name}: ${await migrate(wrangler, binding)}`);
  }
  tell(`Worker ${plan.worker}: ${await upload(wrangler)}`);
  tell(`Admin token: ${await ensureToken(wrangler)}`);
}

async function checkLogin(wrangler: Wrangler): Promise<void> {
  const answer = await wrangler(["whoami", "--json"]);
  if (answer.ok && !/"loggedIn":\s*false/.test(answer.stdout)) return;
  throw new CannotGoOn(
    "Cannot deploy: wrangler is not logged in to Cloudflare. Run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN, and try again.",
  );
}

/** A failed look means "missing" here: where it meant something else, making fails too and tells what. */
async function ensure(wrangler: Wrangler, look: string[], make: string[]): Promise<string> {
  if ((await wrangler(look)).ok) return "there already";
  await demand(wrangler, make, "Check the rights of your login or API token, and your plan's limits.");
  return "made";
}

async function migrate(wrangler: Wrangler, binding: string): Promise<string> {
  const { stdout } = await demand(
    wrangler,
    ["d1", "migrations", "apply", binding, "--remote"],
    "The migration that failed was rolled back, and the Worker was not touched. Mend the migration.",
  );
  return stdout.includes("No migrations to apply") ? "nothing new" : "applied";
}

async function upload(wrangler: Wrangler): Promise<string> {
  const { stdout } = await demand(
    wrangler,
    ["deploy"],
    "Database and queues are there and stay; the Worker may be the former one still. Mend what is said above.",
  );
  const urls = stdout.match(/https:\/\/[^\s()]+/g) ?? [];
  return ["deployed", ...new Set(urls)].join(", ");
}

async function ensureToken(wrangler: Wrangler): Promise<string> {
  const list = await demand(wrangler, ["secret", "list", "--format", "json"], "The Worker is deployed.");
  if (secretNames(list.stdout).includes(SECRET)) return "there already (`npx wrangler secret put` sets another)";
  const token = makeToken();
  await demand(
    wrangler,
    ["secret", "put", SECRET],
    `The Worker is deployed, and without ${SECRET} it answers 503 to everybody. Should the secret be there after all, it is ${token}.`,
    token,
  );
  return `${token} (made now and shown only this once)`;
}

function secretNames(json: string): string[] {
  try {
    return (JSON.parse(json) as { name: string }[]).map(({ name }) => name);
  } catch {
    throw new CannotGoOn(
      `Cannot tell whether ${SECRET} is set: \`wrangler secret list\` answered no JSON but: ${json}`,
    );
  }
}

/** Runs wrangler; a failure ends the deployment with what was attempted, what is, and what to do. */
async function demand(wrangler: Wrangler, args: string[], state: string, input?: string): Promise<Answer> {
  const answer = await wrangler(args, input);
  if (answer.ok) return answer;
  throw new CannotGoOn(
    [
      `Failed: \`wrangler ${args.join(" ")}\` (${answer.status})`,
      answer.complaint.replace(/^/gm, "  "),
      `${state} Then deploy again: it goes on from here.`,
    ].join("\n"),
  );
}
