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
  /** Of the token, for people. */
  name: string | null;
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
   * Reads the text of one frame as an `ExchangeRequest`, cuts its tasks to the grant, calls `run` once, and answers with
   * the text of the frame to send back: an `answer`, or the `problem` that the frame or the reply of `run` is. A frame
   * that cannot be read is refused without calling `run`. Never rejects because of what the text is.
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
