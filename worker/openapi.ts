/**
 * The contract: `/openapi.json`, made of the schemas that validate requests.
 *
 * @module
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { ErrorCode } from "../client/types.ts";
import { refuse, statusOf, toProblem } from "./problem.ts";
import type { AnyRoute } from "./routes/route.ts";
import * as schemas from "./schemas.ts";

/** Errors that any call with a token may meet. */
const COMMON: ErrorCode[] = ["invalid_request", "unauthorized", "forbidden", "internal", "unavailable"];

/** The document, as plain JSON. */
export function openApiDocument(routes: readonly AnyRoute[], about: { version: string; basePath: string }): object {
  const { openAPIRegistry: registry, getOpenAPI31Document } = new OpenAPIHono();
  registry.registerComponent("securitySchemes", "token", { type: "http", scheme: "bearer" });
  for (const route of routes) registry.registerPath(pathOf(route));
  return getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Millrace",
      version: about.version,
      description: "A background task queue that lives entirely on the edge.",
      license: { name: "MIT" },
    },
    servers: [{ url: about.basePath === "" ? "/" : about.basePath }],
    security: [{ token: [] }],
  });
}

type RouteConfig = Parameters<OpenAPIHono["openAPIRegistry"]["registerPath"]>[0];

function pathOf(route: AnyRoute): RouteConfig {
  const open = route.roles.length === 0;
  const answers = Object.entries(route.answers).map(([status, { description, schema, media = "application/json" }]) => {
    const content = schema ? { [media]: { schema } } : media === "application/json" ? undefined : { [media]: {} };
    return [status, { description, ...(content ? { content } : {}) }];
  });
  return {
    method: route.method,
    path: route.path,
    operationId: operationId(route),
    summary: route.summary,
    ...(open ? { security: [] } : {}),
    request: {
      params: route.params,
      query: route.query,
      ...(route.headers ? { headers: route.headers } : {}),
      ...(route.body ? { body: bodyOf(route.body) } : {}),
    },
    responses: { ...Object.fromEntries(answers), ...problems(open ? route.errors : [...COMMON, ...route.errors]) },
  } as RouteConfig;
}

function bodyOf({ schema, optional = false, media = "application/json" }: NonNullable<AnyRoute["body"]>): object {
  return { required: !optional, content: { [media]: { schema } } };
}

/** One response a status; codes that share it are named together. */
function problems(codes: ErrorCode[]): object {
  const byStatus = Map.groupBy(new Set(codes), statusOf);
  return Object.fromEntries(
    [...byStatus].map(([status, same]) => [
      status,
      {
        description: same.map((code) => `\`${code}\`: ${toProblem(refuse(code, "")).title}`).join("; "),
        content: {
          "application/problem+json": {
            schema: schemas.problem,
            example: toProblem(refuse(same[0]!, "What was attempted, what is, and what should be.")),
          },
        },
      },
    ]),
  );
}

/** `postV1QueuesQueueJobs` */
function operationId({ method, path }: AnyRoute): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
  return method + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}
