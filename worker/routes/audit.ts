/**
 * `GET /v1/audit`: who did what, when, to what.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { AuditEntry, Page } from "../../client/types.ts";
import { ADMINS, EVERYBODY } from "../caller.ts";
import { instant } from "../fields.ts";
import { parseInstant } from "../instant.ts";
import { pageOf, paging } from "../schemas.ts";
import { afterIds, pageAsked } from "./cursor.ts";
import { ok, route } from "./route.ts";

const text = z.string();
const auditEntry = z
  .object({
    id: text,
    at: text.meta({ format: "date-time" }),
    who: text.describe("The token's name; `admin`: the server's own token; `code`: the Worker, by binding."),
    tokenId: text.nullable(),
    role: z.enum(EVERYBODY as [string, ...string[]]),
    action: text
      .meta({ example: "POST /v1/queues/mail/pause" })
      .describe("Method and path; then to what, where the path does not say it."),
    status: z.int(),
    requestId: text,
  })
  .openapi("AuditEntry");

export const listAudit = route({
  method: "get",
  path: "/v1/audit",
  roles: ADMINS,
  summary: "Changes of the last 90 days, made or refused for want of rights, newest first",
  query: paging.extend({
    from: instant.optional().describe("Inclusive."),
    to: instant.optional().describe("Exclusive."),
  }),
  answers: { 200: { description: "A page.", schema: pageOf(auditEntry) } },
  errors: [],
  async handle(call) {
    const { from, to } = call.query;
    const page = pageAsked("audit", call.query);
    if (!page.ok) return page;
    const { place, limit } = page;
    const rows = await call.history().audit.list({
      before: place?.[0] ?? null,
      from: from === undefined ? null : parseInstant(from),
      to: to === undefined ? null : parseInstant(to),
      limit,
    });
    const items = rows.map((row) => ({ ...row, at: new Date(row.at).toISOString() }));
    return ok({ items, nextCursor: afterIds("audit", rows, limit) } satisfies Page<AuditEntry>);
  },
});
