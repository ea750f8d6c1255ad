/**
 * What the object asks of the Worker for sockets of remote workers: the Worker knows the form of frames and resolves
 * follow-up jobs with its config, the object knows the books.
 *
 * @module
 */
import type { ErrorCode } from "../client/types.ts";
import type { ExchangeInput, ExchangeReply, Handout } from "../client/wire.ts";

/** What the bearer of a socket's token may do here, as the Worker found it: JSON in the header of the upgrade. */
export interface Grant {
  /** Tasks that its sessions may be given; null: any. */
  tasks: string[] | null;
  /** Names and patterns of queues that its follow-up jobs may go to; null: any. */
  queues: string[] | null;
  /** Of the token, for people. */
  name: string | null;
  /** The id of the token, whose sessions are its own; null or absent: the server's own token. */
  token?: string | null;
}

/** The header that carries the `Grant` of an upgrade from Worker to object. */
export const GRANT_HEADER = "x-millrace-grant";

/** Whose ids are told. */
export interface Where {
  queue: string;
  partition: number;
}

/** Text of frames from and to the exchange; see `ConnectFrame` in client/types.ts. */
export interface Remote {
  /**
   * Reads the text of one frame as an `ExchangeRequest`, cuts its tasks to the grant, calls `run` once with a standing
   * one, and answers with the text of the frame to send back: an `answer`, or the `problem` that the frame or the reply
   * of `run` is. A frame that cannot be read is refused without calling `run`. Never rejects because of what the text is.
   */
  exchange(
    where: Where,
    grant: Grant,
    text: string,
    run: (input: ExchangeInput) => Promise<ExchangeReply>,
  ): Promise<string>;
  /** The text of a `push` frame. */
  push(where: Where, handout: Handout): string;
  /** The text of a `problem` frame for what is no exchange at all. */
  problem(code: ErrorCode, detail: string): string;
}

/** A grant as the text of a header, which takes no character beyond ASCII. */
export function writeGrant(grant: Grant): string {
  return JSON.stringify(grant).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** @throws {SyntaxError} when the header is absent or no JSON */
export function readGrant(header: string | null): Grant {
  const { tasks, queues, name, token } = JSON.parse(header ?? "") as Grant;
  return { tasks: tasks ?? null, queues: queues ?? null, name: name ?? null, token: token ?? null };
}
