/**
 * Tokens with a role and restrictions, for those who have an admin's.
 *
 * @module
 */
import type { CallOptions } from "./job-handle.ts";
import { list } from "./pages.ts";
import type { Send } from "./request.ts";
import type { TokenInfo, TokenRequest } from "./types.ts";

/** A token as it was made. It is shown this once. */
export interface CreatedToken {
  token: string;
  /** By which it can be revoked. */
  id: string;
  expiresAt: string;
}

/** `client.tokens`. Every call rejects with a {@link MillraceError}: `forbidden` for all who are no admin. */
export interface Tokens {
  /**
   * Makes a token. Not sent again where it may have been made: the first one would stay valid, and nobody would have it.
   *
   * @throws {MillraceError} `invalid_request` for a restriction that is not valid, or does not go with the role
   * @example
   * const { token } = await client.tokens.create({ name: "the shop", role: "producer", queues: ["mail"], expiresIn: "30d" });
   */
  create(request: TokenRequest, options?: CallOptions): Promise<CreatedToken>;

  /** All tokens that were made here and have not expired, newest first, page by page as you go. Never the secrets. */
  list(options?: CallOptions): AsyncIterableIterator<TokenInfo>;

  /** Revokes a token by its id, also one that code has minted. It stops within a minute, everywhere. */
  revoke(id: string, options?: CallOptions): Promise<void>;
}

export function tokensOver(send: Send): Tokens {
  return {
    create: (request, { signal } = {}) =>
      send({ method: "POST", path: "/v1/tokens", body: JSON.stringify(request), idempotent: false, signal }),
    list: ({ signal } = {}) => list(send, "/v1/tokens?", signal),
    async revoke(id, { signal } = {}) {
      await send({ method: "DELETE", path: `/v1/tokens/${encodeURIComponent(id)}`, signal });
    },
  };
}
