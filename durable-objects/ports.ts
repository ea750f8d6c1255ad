/**
 * What the shell of a queue needs of the platform. The Durable Object gives the real things, the simulation its own.
 *
 * @module
 */
import type { Handout, HistoryPort, Parcel, ParcelReply, QueueMetrics, Ticket } from "../client/wire.ts";
import type { CodeSchedules, CodeSettings, StandingWant, Storage } from "./engine/ports.ts";
import type { Changes, Watched } from "./engine/watch.ts";

export interface ShellPorts {
  queue: string;
  partition: number;
  storage: Storage;
  settings: CodeSettings;
  /** Absent: none. */
  schedules?: CodeSchedules;
  /** One alarm. `set` belongs to the same commit as the writes before it in the same turn. */
  alarm: { get(): Promise<number | null>; set(at: number): void };
  /** Wakes consumers. May throw; a ticket that is lost is sent again. */
  tickets: { send(tickets: Ticket[]): Promise<void> };
  /** Hands follow-up jobs to the object of another queue. May throw; what is not answered is sent again. */
  deliver(queue: string, partition: number, parcels: Parcel[]): Promise<ParcelReply[]>;
  history: HistoryPort;
  /** Whether tickets bring workers for jobs of a task. Absent: of every task. */
  pushes?(task: string): boolean;
  /** Absent: no session has a socket. */
  sockets?: SocketPort;
  /** Absent: nobody can watch. */
  watchers?: WatcherPort;
  now(): number;
  random(): number;
  /** Settles like `promise`, or rejects after `ms`: what never answers must not hold anything up. */
  within<Value>(ms: number, promise: Promise<Value>): Promise<Value>;
  /** Lets work go on after the answer. Never rejects. */
  background(work: Promise<void>): void;
  /** One line for the operator. */
  log(level: "info" | "warn" | "error", event: string, fields: Record<string, unknown>): void;
}

/** The sockets of sessions that can be told. Nothing here throws or waits. */
export interface SocketPort {
  /** Whether the session has a socket that was heard lately. */
  alive(session: string): boolean;
  /** What each session with a socket wants, also after a wake. */
  standing(): StandingWant[];
  /** Sends each handout, and notes what its session wants from now on. Answers the sessions that cannot be told any more. */
  tell(handouts: Handout[], standing: ReadonlyMap<string, StandingWant>): string[];
  /** Closes the sockets of sessions that gave no sign of life. */
  silence(sessions: string[]): void;
  figures(): Pick<QueueMetrics, "framesRefused" | "socketsDropped"> & {
    sockets: { workers: number; watchers: number };
  };
}

/** The sockets of those who watch. Nothing here throws or waits. */
export interface WatcherPort {
  /** Who watches what, also after a wake. */
  watched: Watched;
  /** Tells them what a transaction changed. */
  tell(changes: Changes): void;
}
