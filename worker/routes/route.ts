/**
 * A route as data: what it takes, what it answers and what it does. The app serves it, checks requests against its
 * schemas, and writes it into the contract.
 *
 * @module
 */
import { z } from "zod";
import type { ErrorCode, Role } from "../../client/types.ts";
import type { QueueRpc } from "../../client/wire.ts";
import { refuseReach, type Target } from "../allow.ts";
import type { Caller } from "../caller.ts";
import type { Config } from "../config.ts";
import type { HistoryReads } from "../history-reads.ts";
import { errorsOf, pathOf } from "../issues.ts";
import { readJson, readText } from "../json.ts";
import type { Log } from "../log.ts";
import { type Refused, refuse } from "../problem.ts";
import type { Keyring } from "../tokens/keys.ts";

/** What routes may use. */
export interface Services {
  config: Config;
  version: string;
  log: Log;
  /** The object of a queue's partition 0. Take a new one after an error: the broken one stays broken. */
  stub(queue: string): QueueRpc;
  /** Opens a WebSocket to that object: its answer, 101 with `webSocket` where all is well. */
  upgrade(queue: string, path: string, headers?: Record<string, string>): Promise<Response>;
  history(): HistoryReads;
  /** The keys that sign tokens. */
  keys(): Promise<Keyring | Refused>;
  /** This isolate knows at once that a token is revoked; others do within a minute. */
  revoked(id: string): void;
  /** How many requests this isolate has refused, by code. */
  refused: ReadonlyMap<ErrorCode, number>;
  /** Goes on with work after the answer, for at most 30 s. It must not reject. */
  background(work: Promise<void>): void;
  /** Says to what the call does something, where its path does not: for the audit log. The latest word stands. */
  target(what: string): void;
  requestId: string;
  caller: Caller;
}

/** One request, checked. */
export interface Call<Params, Query, Body> extends Services {
  params: Params;
  query: Query;
  body: Body;
  /** The body as it came. */
  bytes: Uint8Array;
  request: Request;
}

/** A success. `text` goes out as it is, `body` as JSON. */
export interface Success {
  ok: true;
  status: 200 | 201 | 202 | 204;
  body?: unknown;
  text?: string;
  headers?: Record<string, string>;
  /** True: the caller asked to be held back, so that the time it took says nothing. */
  held?: boolean;
}
/** An answer that goes out as it is: a stream, or a WebSocket. */
export interface Raw {
  ok: true;
  response: Response;
}
/** A refusal, with members beyond those of a problem. */
export type Answer = Success | Raw | (Refused & { more?: object; headers?: Record<string, string> });

export interface Route<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType> {
  method: "get" | "post" | "put" | "patch" | "delete";
  /** `{name}` stands for one segment. */
  path: string;
  summary: string;
  /** Who may call it; none: it needs no token. */
  roles: readonly Role[];
  /** True: it asks by itself what a restricted caller may reach. Others name the queue or the job in path or query. */
  asksReach?: true;
  params: Params;
  query: Query;
  /**
   * Absent: a body is not read. `checked: false`: the route looks into it itself, the schema is for the contract; with
   * `text` it is handed over as text, to be parsed there too.
   */
  body?: { schema: Body; optional?: boolean; checked?: false; text?: true; media?: string };
  headers?: z.ZodObject;
  answers: { [status: number]: { description: string; schema?: z.ZodType; media?: string } };
  errors: ErrorCode[];
  handle(call: Call<z.infer<Params>, z.infer<Query>, z.infer<Body>>): Promise<Answer>;
}

// biome-ignore lint/suspicious/noExplicitAny: routes of all types stand side by side in one list
export type AnyRoute = Route<any, any, any>;

const nothing = z.strictObject({});

/** Fills in what a route leaves out. */
export function route<
  Params extends z.ZodType = typeof nothing,
  Query extends z.ZodType = typeof nothing,
  Body extends z.ZodType = z.ZodUnknown,
>(
  given: Omit<Route<Params, Query, Body>, "params" | "query"> & { params?: Params; query?: Query },
): Route<Params, Query, Body> {
  return { ...given, params: given.params ?? (nothing as never), query: given.query ?? (nothing as never) };
}

export const ok = (body: unknown): Success => ({ ok: true, status: 200, body });

/** Checks a request against its route, in the order path, query, body, and carries it out. */
export async function serve(
  route: AnyRoute,
  request: Request,
  params: Record<string, string>,
  services: Services,
): Promise<Answer> {
  const path = check(route.params, params, "The path is not valid.");
  if (!path.ok) return path;
  const query = readQuery(route.query, request.url);
  if (!query.ok) return query;
  const beyond = route.asksReach ? null : refuseReach(services.caller, targetOf(route, path.value, query.value));
  if (beyond) return beyond;
  const read = route.body?.text ? readText : readJson;
  const body = route.body ? await read(request, { optional: route.body.optional === true }) : noBody;
  if (!body.ok) return body;
  const checked =
    route.body && route.body.checked !== false ? check(route.body.schema, body.value, "The body is not valid.") : body;
  if (!checked.ok) return checked;
  const { value } = checked;
  return route.handle({ ...services, params: path.value, query: query.value, body: value, bytes: body.bytes, request });
}

/** The queue or the job that a call names before its body. */
function targetOf({ path }: AnyRoute, params: unknown, query: unknown): Target {
  const { queue, id } = params as { queue?: string; id?: string };
  const asked = (query as { queue?: string }).queue;
  return { queue: queue ?? asked ?? null, job: path.startsWith("/v1/jobs/{id}") ? id! : null };
}

const noBody = { ok: true as const, value: undefined, bytes: new Uint8Array() };

type Checked = { ok: true; value: unknown } | Refused;

function check(schema: z.ZodType, value: unknown, detail: string): Checked {
  const checked = schema.safeParse(value);
  if (checked.success) return { ok: true, value: checked.data };
  const errors = errorsOf(checked.error.issues, value, "", { known: keysOf(schema) });
  return refuse("invalid_request", detail, errors);
}

function keysOf(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodOptional) return keysOf(schema.unwrap() as z.ZodType);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function readQuery(schema: z.ZodType, url: string): Checked {
  const search = url.includes("?") ? url.slice(url.indexOf("?") + 1).split("#")[0]! : "";
  if (search === "") return check(schema, {}, "The query is not valid.");
  try {
    decodeURIComponent(search.replaceAll("+", " "));
  } catch {
    return refuse("invalid_request", "The query is not percent-encoded UTF-8.");
  }
  const values: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(search)) {
    if (name in values) {
      const path = pathOf([name]).slice(0, 80);
      return refuse("invalid_request", "The query is not valid.", [{ path, message: "is given more than once" }]);
    }
    // A plus that was not encoded reads as a space: in an instant it can only have been the offset's sign.
    values[name] = name === "from" || name === "to" ? value.replace(/ (?=\d\d:?\d\d$)/, "+") : value;
  }
  return check(schema, { ...values }, "The query is not valid.");
}
