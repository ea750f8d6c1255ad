/**
 * Tokens: make, list, revoke.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import type { Page, TokenInfo } from "../../client/types.ts";
import { ADMINS } from "../caller.ts";
import { pageOf, paging } from "../schemas.ts";
import { dismissTokens } from "../tokens/dismiss.ts";
import { iso, LIFETIMES, madeToken, tokenId, tokenInfo, tokenRequest, toTokenInfo } from "../tokens/request.ts";
import { makeToken } from "../tokens/token.ts";
import { afterIds, pageAsked } from "./cursor.ts";
import { ok, route } from "./route.ts";

export const createToken = route({
  method: "post",
  path: "/v1/tokens",
  roles: ADMINS,
  summary: "Make a token with a role and restrictions; it is shown once",
  body: { schema: tokenRequest },
  answers: { 201: { description: "The token.", schema: madeToken } },
  errors: ["unsupported_media_type", "payload_too_large", "not_configured"],
  async handle(call) {
    const made = await makeToken(await call.keys(), call.body, LIFETIMES.made);
    if (!made.ok) return made;
    const { token, row } = made;
    call.target(`${row.id} ${row.about.role}`);
    await call.history().tokens.create(row);
    return { ok: true, status: 201, body: { token, id: row.id, expiresAt: iso(row.expiresAt) } };
  },
});

export const listTokens = route({
  method: "get",
  path: "/v1/tokens",
  roles: ADMINS,
  summary: "Tokens that were made here and have not expired, newest first; never the tokens themselves",
  query: paging,
  answers: { 200: { description: "A page.", schema: pageOf(tokenInfo) } },
  errors: [],
  async handle(call) {
    const page = pageAsked("tokens", call.query);
    if (!page.ok) return page;
    const { place, limit } = page;
    const rows = await call.history().tokens.list(place?.[0] ?? null, limit, Date.now());
    const nextCursor = afterIds("tokens", rows, limit);
    return ok({ items: rows.map(toTokenInfo), nextCursor } satisfies Page<TokenInfo>);
  },
});

export const revokeToken = route({
  method: "delete",
  path: "/v1/tokens/{id}",
  roles: ADMINS,
  summary: "Revoke a token, also one that code has minted: it stops within a minute",
  params: z.strictObject({ id: tokenId }),
  answers: { 204: { description: "It is revoked." } },
  errors: [],
  async handle(call) {
    const { id } = call.params;
    const now = Date.now();
    await call.history().tokens.revoke(id, now, now + LIFETIMES.made.mostMs);
    call.revoked(id);
    call.background(dismissTokens(call, [id]));
    return { ok: true, status: 204 };
  },
});
