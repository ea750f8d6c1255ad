/**
 * `GET /metrics`: Prometheus text.
 *
 * Only objects that are awake anyway are asked: those that mean to wake, changed lately or had jobs that ended within
 * ten minutes. The others are reported from the registry (`millrace_queue_awake 0`, with `millrace_queue_paused`) and
 * have no other figures; a scrape costs nothing where nothing happens.
 *
 * @module
 */

import type { Buckets, QueueDescription } from "../../client/wire.ts";
import { READERS } from "../caller.ts";
import { queueSettings } from "../config.ts";
import type { RegisteredQueue } from "../history-reads.ts";
import { inTurns } from "../turns.ts";
import { route, type Services } from "./route.ts";

/** Objects asked in one scrape. */
const MAX_ASKED = 200;

export const getMetrics = route({
  method: "get",
  path: "/metrics",
  roles: READERS,
  summary: "Figures of all queues, as Prometheus text",
  answers: { 200: { description: "Counters begin anew when an object is loaded anew.", media: "text/plain" } },
  errors: [],
  async handle(call) {
    const queues = await call.history().registered(Date.now());
    const awake = queues.filter(({ name, awake }) => awake && queueSettings(call.config, name) !== null);
    const asked = awake.slice(0, MAX_ASKED);
    const described = await describeAll(call, asked);
    const unread = awake.length - described.size;
    const text = write(queues, described, unread, call.refused);
    const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
    return { ok: true, status: 200, text, headers };
  },
});

async function describeAll(call: Services, queues: RegisteredQueue[]): Promise<Map<string, QueueDescription>> {
  const described = new Map<string, QueueDescription>();
  await inTurns(queues, async ({ name }) => {
    try {
      const queue = await call.stub(name).describe();
      if (queue) described.set(name, queue);
    } catch (error) {
      call.log("warn", "metrics_unread", { requestId: call.requestId, queue: name, error: String(error) });
    }
  });
  return described;
}

type Figures = [labels: Record<string, string>, value: number][];
type Metric = [name: string, type: "gauge" | "counter", help: string, of: (queue: QueueDescription) => Figures];

const one = (value: number): Figures => [[{}, value]];
const seconds = (ms: number): number => ms / 1_000;

const METRICS: Metric[] = [
  [
    "millrace_jobs",
    "gauge",
    "Unfinished jobs by state; retrying ones are counted in scheduled too.",
    ({ counts }) => Object.entries(counts).map(([state, value]) => [{ state }, value]),
  ],
  [
    "millrace_oldest_ready_age_seconds",
    "gauge",
    "How long the oldest ready job has waited; 0 for none.",
    ({ oldestReadyAt }) => one(oldestReadyAt === null ? 0 : Math.max(0, seconds(Date.now() - oldestReadyAt))),
  ],
  ["millrace_sessions", "gauge", "Sessions of workers at the queue.", ({ sessions }) => one(sessions.length)],
  [
    "millrace_sockets",
    "gauge",
    "Open WebSockets, of workers and of watchers.",
    ({ sockets }) => Object.entries(sockets ?? {}).map(([kind, value]) => [{ kind }, value]),
  ],
  [
    "millrace_outbox_jobs",
    "gauge",
    "Ended jobs that the history does not have yet.",
    ({ outboxRows }) => one(outboxRows),
  ],
  [
    "millrace_alarm_lateness_seconds",
    "gauge",
    "How late the latest alarm came.",
    ({ metrics }) => one(seconds(metrics.alarmLatenessMs)),
  ],
  ["millrace_enqueued_total", "counter", "Jobs accepted.", ({ metrics }) => one(metrics.enqueued)],
  ["millrace_starts_total", "counter", "Attempts started.", ({ metrics }) => one(metrics.starts)],
  [
    "millrace_ends_total",
    "counter",
    "Attempts ended, by outcome.",
    ({ metrics }) => Object.entries(metrics.endsByOutcome).map(([outcome, value]) => [{ outcome }, value]),
  ],
  ["millrace_alarms_total", "counter", "Alarms run.", ({ metrics }) => one(metrics.alarms)],
  ["millrace_tickets_sent_total", "counter", "Tickets sent.", ({ metrics }) => one(metrics.ticketsSent)],
  [
    "millrace_handouts_total",
    "counter",
    "Jobs handed to remote workers that stood ready.",
    ({ metrics }) => one(metrics.handouts),
  ],
  [
    "millrace_settles_refused_total",
    "counter",
    "Outcomes of attempts that changed nothing: not the session's job, or malformed.",
    ({ metrics }) => one(metrics.settlesRefused),
  ],
  [
    "millrace_frames_refused_total",
    "counter",
    "Messages of WebSockets that were refused.",
    ({ metrics }) => one(metrics.framesRefused),
  ],
  [
    "millrace_sockets_dropped_total",
    "counter",
    "WebSockets closed because the other side was silent, did not read, sent nonsense or lost its token.",
    ({ metrics }) => one(metrics.socketsDropped),
  ],
  [
    "millrace_follow_ups_delivered_total",
    "counter",
    "Follow-up jobs that other queues took.",
    ({ metrics }) => one(metrics.followUpsDelivered),
  ],
  [
    "millrace_follow_ups_refused_total",
    "counter",
    "Follow-up jobs that other queues refused for good: they are lost.",
    ({ metrics }) => one(metrics.followUpsRefused),
  ],
  ["millrace_flushes_total", "counter", "Writes to the history.", ({ metrics }) => one(metrics.flushes)],
  [
    "millrace_flush_failures_total",
    "counter",
    "Writes to the history that failed and are repeated.",
    ({ metrics }) => one(metrics.flushFailures),
  ],
];

function write(
  queues: RegisteredQueue[],
  described: Map<string, QueueDescription>,
  unread: number,
  refused: Services["refused"],
): string {
  const lines: string[] = [];
  const head = (name: string, type: string, help: string) =>
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  head("millrace_queue_awake", "gauge", "1: asked for its figures; 0: asleep, and left so.");
  for (const { name } of queues)
    lines.push(`millrace_queue_awake${labels({ queue: name })} ${described.has(name) ? 1 : 0}`);
  head("millrace_queue_paused", "gauge", "1: no job starts.");
  for (const { name, paused } of queues) {
    const queue = described.get(name);
    lines.push(`millrace_queue_paused${labels({ queue: name })} ${(queue ? queue.paused !== null : paused) ? 1 : 0}`);
  }
  head("millrace_queues_unread", "gauge", "Queues that are awake and were not read: too many, or not answering.");
  lines.push(`millrace_queues_unread ${unread}`);
  for (const [name, type, help, of] of METRICS) {
    head(name, type, help);
    for (const [queue, description] of described) {
      // For some minutes of a deployment the object may be of the version before, which counts less.
      for (const [more, value] of of(description).filter(([, value]) => Number.isFinite(value)))
        lines.push(`${name}${labels({ queue, ...more })} ${value}`);
    }
  }
  for (const kind of ["run", "wait"] as const) {
    const what = kind === "run" ? "How long attempts ran" : "How long jobs were ready before they started";
    const name = `millrace_${kind}_seconds`;
    head(name, "histogram", `${what}; the sum is at most 10 % off.`);
    for (const [queue, { metrics }] of described) lines.push(...histogram(name, queue, metrics[kind]));
  }
  head(
    "millrace_requests_refused_total",
    "counter",
    "Requests refused, by code, since the isolate of the Worker that answers was loaded; others count apart.",
  );
  for (const [code, count] of refused) lines.push(`millrace_requests_refused_total${labels({ code })} ${count}`);
  return `${lines.join("\n")}\n`;
}

/** Every fourth of the object's buckets, which grow by a fifth each: 1 ms to about a day in 26 steps. */
const STEPS = Array.from({ length: 26 }, (_, step) => step * 4);

function histogram(name: string, queue: string, buckets: Buckets): string[] {
  const all = Object.entries(buckets).map(([key, count]) => [Number(key), count] as const);
  const total = all.reduce((sum, [, count]) => sum + count, 0);
  const sumMs = all.reduce((sum, [key, count]) => sum + count * (key === 0 ? 0.5 : 1.2 ** (key - 0.5)), 0);
  const lines = STEPS.map((step) => {
    const below = all.reduce((sum, [key, count]) => sum + (key <= step ? count : 0), 0);
    return `${name}_bucket${labels({ queue, le: String(Number(seconds(1.2 ** step).toPrecision(4))) })} ${below}`;
  });
  lines.push(`${name}_bucket${labels({ queue, le: "+Inf" })} ${total}`);
  lines.push(`${name}_sum${labels({ queue })} ${Number(seconds(sumMs).toPrecision(6))}`);
  lines.push(`${name}_count${labels({ queue })} ${total}`);
  return lines;
}

function labels(values: Record<string, string>): string {
  const pairs = Object.entries(values).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, "\\$&")}"`);
  return `{${pairs.join(",")}}`;
}
