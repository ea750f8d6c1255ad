/**
 * What the shell of a queue needs of the platform. The Durable Object gives the real things, the simulation its own.
 *
 * @module
 */
import type { HistoryPort, Parcel, ParcelReply, Ticket } from "../client/wire.ts";
import type { CodeSchedules, CodeSettings, Storage } from "./engine/ports.ts";

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
  now(): number;
  random(): number;
  /** Settles like `promise`, or rejects after `ms`: what never answers must not hold anything up. */
  within<Value>(ms: number, promise: Promise<Value>): Promise<Value>;
  /** Lets work go on after the answer. Never rejects. */
  background(work: Promise<void>): void;
  /** One line for the operator. */
  log(level: "info" | "warn" | "error", event: string, fields: Record<string, unknown>): void;
}
