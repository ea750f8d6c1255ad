import { BOUNDS } from "./bounds-cases.ts";
import { BULK } from "./bulk-cases.ts";
import { CALLERS } from "./caller-cases.ts";
import { CLAIM } from "./claim-cases.ts";
import { CODE_SCHEDULES } from "./code-schedule-cases.ts";
import { DEADLINE } from "./deadline-cases.ts";
import { ENQUEUE } from "./enqueue-cases.ts";
import { EXCHANGE } from "./exchange-cases.ts";
import { EXPLAIN } from "./explain-cases.ts";
import { FAIRNESS } from "./fairness-cases.ts";
import { FOLLOW_UPS } from "./followup-cases.ts";
import { GARBAGE } from "./garbage-cases.ts";
import { GATES } from "./gate-cases.ts";
import { GATHER } from "./gather-cases.ts";
import { HANDOUT } from "./handout-cases.ts";
import { KEYS } from "./key-cases.ts";
import { LAPSE } from "./lapse-cases.ts";
import { LIMITS } from "./limit-cases.ts";
import { LOGS } from "./log-cases.ts";
import { OPERATE } from "./operate-cases.ts";
import { ORDERING } from "./ordering-cases.ts";
import { OUTBOX } from "./outbox-cases.ts";
import { POSITION } from "./position-cases.ts";
import type { Case } from "./queue.ts";
import { SCHEDULES } from "./schedule-cases.ts";
import { SETTINGS } from "./settings-cases.ts";
import { SETTLE } from "./settle-cases.ts";
import { STANDING } from "./standing-cases.ts";
import { STATES } from "./states-cases.ts";
import { TICKETS } from "./ticket-cases.ts";
import { UNIQUE } from "./unique-cases.ts";
import { WATCH } from "./watch-cases.ts";

/** The conformance of the engine: what must hold on every storage, by verb. */
export const SUITE: Record<string, Case[]> = {
  enqueue: ENQUEUE,
  "rates of tokens": CALLERS,
  claim: CLAIM,
  limits: LIMITS,
  keys: KEYS,
  gates: GATES,
  fairness: FAIRNESS,
  settle: SETTLE,
  exchange: EXCHANGE,
  logs: LOGS,
  watchers: WATCH,
  lapse: LAPSE,
  followUps: FOLLOW_UPS,
  gather: GATHER,
  "sessions that stand ready": STANDING,
  handouts: HANDOUT,
  operate: OPERATE,
  "many jobs": BULK,
  "ordering keys": ORDERING,
  "unique keys": UNIQUE,
  deadlines: DEADLINE,
  outbox: OUTBOX,
  tickets: TICKETS,
  schedules: SCHEDULES,
  "schedules of code": CODE_SCHEDULES,
  explain: EXPLAIN,
  "place in line": POSITION,
  settings: SETTINGS,
  states: STATES,
  bounds: BOUNDS,
  garbage: GARBAGE,
};
