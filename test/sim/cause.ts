import type { EnqueueInput, ExchangeInput, Parcel, ScheduleInput } from "../../client/wire.ts";
import type { Books } from "../../durable-objects/engine/books.ts";
import type { Host } from "./host.ts";
import type { Expected } from "./model.ts";
import type { SocketHooks } from "./sockets.ts";

/** What made a transaction: a call, or (null) something that goes on behind one. */
export type Cause =
  | { kind: "enqueue"; input: EnqueueInput; expected?: Expected }
  | { kind: "exchange"; input: ExchangeInput; seen?: unknown }
  | { kind: "pauseKey"; of: string; value: string; forMs: number }
  | { kind: "deliver"; parcels: Parcel[] }
  | {
      kind: "schedule";
      verb: "put" | "remove" | "run" | "pause" | "resume" | "backfill";
      name: string;
      input?: ScheduleInput;
      from?: number;
      to?: number;
    }
  | { kind: "other" }
  | null;

/** Where mutants take hold. */
export interface Hooks {
  sql?(query: string): string;
  exchange?(input: ExchangeInput, host: Host): ExchangeInput;
  ignoresAlarm?(at: number): boolean;
  /** After each transaction, when the checks are done: may change what the object has in memory. */
  after?(books: Books, cause: Cause): void;
  /** What the object is told of its sockets. */
  sockets?: SocketHooks;
  /** Memory and tables are not compared, so that what comes of a difference is seen. */
  withoutBooks?: boolean;
}
