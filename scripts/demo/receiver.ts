/**
 * The other side of the demo: takes the reports, checks them, and is as unreliable as the world is.
 *
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf, type FileReport } from "./files.ts";

/** What the receiver knows of one file. */
export interface Delivery {
  /** Requests for it, whatever came of them. */
  requests: number;
  /** Of these, answered with 200. */
  accepted: number;
  /** The `Idempotency-Key` of each that was answered with 200. */
  keys: string[];
  /** What did not agree with the file; null: nothing. */
  damage: string | null;
}

export interface Receiver {
  url: string;
  deliveries: Map<string, Delivery>;
  /** Requests so far. */
  requests(): number;
  close(): Promise<void>;
}

/** What the files are, by name; their place decides how the receiver behaves. */
export type Expected = Map<string, { index: number; size: number; digest: string }>;

export interface ReceiverOptions {
  expected: Expected;
  /** Time that an answer takes. */
  delayMs: number;
}

/** How a file fares: the first is refused for ever, one in five fails once, one in ten is put off once. */
export function temperOf(index: number): "refuses" | "fails once" | "puts off once" | "accepts" {
  if (index === 0) return "refuses";
  if (index % 5 === 1) return "fails once";
  if (index % 10 === 3) return "puts off once";
  return "accepts";
}

/** Starts it on a free port of this machine. */
export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const deliveries = new Map<string, Delivery>();
  const server = createServer((request, response) => {
    receive(request, response, deliveries, options).catch((error: unknown) => {
      response.writeHead(400).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    deliveries,
    requests: () => [...deliveries.values()].reduce((sum, { requests }) => sum + requests, 0),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function receive(
  request: IncomingMessage,
  response: ServerResponse,
  deliveries: Map<string, Delivery>,
  { expected, delayMs }: ReceiverOptions,
): Promise<void> {
  const report = (await json(request)) as FileReport;
  const file = expected.get(report.name);
  const delivery = deliveries.get(report.name) ?? { requests: 0, accepted: 0, keys: [], damage: null };
  deliveries.set(report.name, delivery);
  delivery.requests++;
  const temper = file === undefined ? "refuses" : temperOf(file.index);
  delivery.damage ??= damageOf(report, file);
  const status = statusOf(temper, delivery.requests);
  if (status === 200) {
    // Counted before the answer: what the caller never hears of has arrived all the same.
    delivery.accepted++;
    delivery.keys.push(String(request.headers["idempotency-key"]));
  }
  await sleep(delayMs);
  response.writeHead(status, status === 429 ? { "retry-after": "1" } : {}).end();
}

function statusOf(temper: ReturnType<typeof temperOf>, requests: number): number {
  if (temper === "refuses") return 422;
  if (requests > 1 || temper === "accepts") return 200;
  return temper === "fails once" ? 500 : 429;
}

function damageOf(report: FileReport, file: { size: number; digest: string } | undefined): string | null {
  if (file === undefined) return "nobody sent such a file";
  if (report.size !== file.size) return `its size is ${file.size}, ${report.size} arrived`;
  if (report.digest !== file.digest) return `its digest is ${file.digest}, ${report.digest} arrived`;
  const isWhole = report.text !== null && Buffer.byteLength(report.text) === report.size;
  if (isWhole && digestOf(report.text!) !== report.digest) return "its text arrived changed";
  return null;
}
