/**
 * Tokens as they are asked for and shown.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { formatDuration, parseDuration } from "../../client/duration.ts";
import type { Json, Role, TokenInfo, TokenRequest } from "../../client/types.ts";
import { EVERYBODY } from "../caller.ts";
import { QUEUE_PATTERN } from "../config.ts";
import { duration, keyText, taskName } from "../fields.ts";
import { newId } from "../history/ids.ts";
import type { TokenAbout, TokenRow } from "../history/tokens.ts";
import { errorsOf } from "../issues.ts";
import { parseJobId } from "../job.ts";
import { JOB_OPTIONS } from "../job-schema.ts";
import { isDeeperThan, utf8Bytes } from "../json.ts";
import { rateLimit } from "../limit-schema.ts";
import { type Refused, refuse } from "../problem.ts";

const DAY_MS = 86_400_000;
/** What the API makes, and what code mints for a page. */
export const LIFETIMES = {
  made: { usualMs: 90 * DAY_MS, mostMs: 400 * DAY_MS },
  minted: { usualMs: 3_600_000, mostMs: DAY_MS },
};
export type Lifetime = (typeof LIFETIMES)[keyof typeof LIFETIMES];

/** The count is kept in memory: a longer one would promise a quota. */
const RATE_PER_MOST_MS = 3_600_000;
const RATE_MESSAGE =
  "is more than 1h, the longest here: the count is kept in memory, and a queue that has slept begins anew";
const MAX_PIN_BYTES = 2_048;
const MAX_PIN_DEPTH = 8;
const MAX_STARS = 4;

const QUEUE_MESSAGE = `is a queue's name, or a pattern such as "tenant-*", with at most ${MAX_STARS} stars`;
const ROLE_MESSAGE = `is one of ${EVERYBODY.join(", ")}`;
const OPTION_MESSAGE = `is one of ${JOB_OPTIONS.join(", ")}`;
const PIN_MESSAGE = `is an object of at most ${MAX_PIN_BYTES} bytes as JSON`;

/** At most 100: a token holds 4,096 characters. */
const listOf = <Item extends z.ZodType>(item: Item, what: string) => {
  const message = `is a list of 1 to 100 ${what}`;
  return z.array(item, message).min(1, message).max(100, message);
};
const line = (chars: number) => {
  const message = `is 1 to ${chars} characters, none of them a control character`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  const sane = (text: string) => text.isWellFormed() && !/[\x00-\x1f\x7f]/.test(text);
  return z.string(message).min(1, message).max(chars, message).refine(sane, message);
};

/** What a token says of its bearer, as it is asked for and as it stands in the token. */
export const claimed = {
  name: line(128).describe("For people."),
  role: z.enum(EVERYBODY as [Role, ...Role[]], ROLE_MESSAGE),
  queues: listOf(z.string(QUEUE_MESSAGE).refine(isPattern, QUEUE_MESSAGE), "names or patterns of queues").optional(),
  tasks: listOf(taskName, "names of tasks").optional(),
  jobs: listOf(
    z.string().refine((id) => parseJobId(id) !== null, "is the id of a job"),
    "ids of jobs",
  ).optional(),
  pin: z
    .custom<{ [field: string]: Json }>(isPin, PIN_MESSAGE)
    .meta({ type: "object" })
    .optional()
    .describe("Fields of the payload: filled in where absent, refused where other."),
  options: z
    .array(z.enum(JOB_OPTIONS as [string, ...string[]], OPTION_MESSAGE), "is a list of job options")
    .max(JOB_OPTIONS.length)
    .optional()
    .describe("Job options that a producer may give; default none."),
  rate: rateLimit.optional().describe("Jobs that a producer may enqueue into one queue."),
  actor: keyText.optional().describe("Stands with each job that it makes. Default, for a producer, the token's id."),
};

export const tokenRequest = z
  .strictObject({
    ...claimed,
    // Only where a token is made: one that was made with a longer rate is still valid.
    rate: rateLimit
      .refine(({ per }) => parseDuration(per) <= RATE_PER_MOST_MS, {
        path: ["per"],
        when: ({ issues }) => issues.length === 0,
        message: RATE_MESSAGE,
      })
      .optional()
      .describe("Jobs that a producer may enqueue into one queue; `per` is at most 1h."),
    expiresIn: duration("1s", "400d").optional().describe("Default 90d."),
  })
  .meta({ example: { name: "the shop", role: "producer", queues: ["mail"], expiresIn: "30d" } });

/** What each role is restricted by; any other restriction would say what does not hold. */
const TAKES: Record<Role, readonly (keyof TokenRequest)[]> = {
  admin: ["actor"],
  operator: ["queues", "actor"],
  producer: ["queues", "tasks", "jobs", "pin", "options", "rate", "actor"],
  worker: ["queues", "tasks"],
  viewer: ["queues", "jobs"],
};
const ANY: readonly string[] = ["name", "role", "expiresIn"];

export interface AskedToken {
  ok: true;
  about: TokenAbout;
  forMs: number;
}

/** Checks a request for a token; `id` is the one that it will have. */
export function readTokenRequest(request: unknown, id: string, { usualMs, mostMs }: Lifetime): AskedToken | Refused {
  const checked = tokenRequest.safeParse(request);
  if (!checked.success) {
    const errors = errorsOf(checked.error.issues, request, "", { known: Object.keys(tokenRequest.shape) });
    return refuse("invalid_request", "The token asked for is not valid.", errors);
  }
  const { expiresIn, ...about } = checked.data as TokenRequest;
  const { role } = about;
  const wrong = Object.keys(checked.data).find(
    (field) => !ANY.includes(field) && !TAKES[role].includes(field as never),
  );
  if (wrong !== undefined) {
    const message = `does not go with role ${role}, which takes ${TAKES[role].join(", ")}`;
    return refuse("invalid_request", "The token asked for is not valid.", [{ path: wrong, message }]);
  }
  const forMs = expiresIn === undefined ? usualMs : parseDuration(expiresIn);
  if (forMs > mostMs) {
    const message = `is more than ${formatDuration(mostMs)}, the longest here`;
    return refuse("invalid_request", "The token asked for is not valid.", [{ path: "expiresIn", message }]);
  }
  const own = role === "producer" ? { options: about.options ?? [], actor: about.actor ?? id } : {};
  return { ok: true, about: { ...about, ...own }, forMs };
}

function isPattern(text: string): boolean {
  return QUEUE_PATTERN.test(text) && text.split("*").length <= MAX_STARS + 1;
}

function isPin(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  try {
    const text = JSON.stringify(value);
    return utf8Bytes(text) <= MAX_PIN_BYTES && !isDeeperThan(text, MAX_PIN_DEPTH);
  } catch {
    return false;
  }
}

// ---- ids and answers

const ID = /^tok-[0-9a-z]{9}-[0-9a-f]{16}$/;
const ID_MESSAGE = 'is the id of a token, such as "tok-0mhxqyy3k-3f2b8c71d9aa0e54"';
export const tokenId = z.string(ID_MESSAGE).regex(ID, ID_MESSAGE).meta({ example: "tok-0mhxqyy3k-3f2b8c71d9aa0e54" });

export const newTokenId = (now: number): string => `tok-${newId(now, 16)}`;

const time = z.string().meta({ format: "date-time" });

export const tokenInfo = z
  .object({ id: tokenId, ...claimed, createdAt: time, expiresAt: time, revokedAt: time.nullable() })
  .openapi("TokenInfo");
export const madeToken = z.object({ token: z.string().describe("Shown once."), id: tokenId, expiresAt: time });

export function toTokenInfo({ id, about, createdAt, expiresAt, revokedAt }: TokenRow): TokenInfo {
  return {
    id,
    ...about,
    createdAt: iso(createdAt),
    expiresAt: iso(expiresAt),
    revokedAt: revokedAt && iso(revokedAt),
  } as TokenInfo;
}

export const iso = (ms: number): string => new Date(ms).toISOString();
