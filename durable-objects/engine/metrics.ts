import type { QueueMetrics } from "../../client/wire.ts";

/** Figures of an object that has just been loaded. */
export const newMetrics = (): QueueMetrics => ({
  enqueued: 0,
  starts: 0,
  endsByOutcome: {},
  run: {},
  wait: {},
  alarmLatenessMs: 0,
  alarms: 0,
  ticketsSent: 0,
  flushes: 0,
  flushFailures: 0,
  followUpsDelivered: 0,
  followUpsRefused: 0,
  handouts: 0,
  settlesRefused: 0,
  framesRefused: 0,
  socketsDropped: 0,
});
