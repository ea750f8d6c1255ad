/**
 * What the scheduler keeps in memory: lanes of jobs that are alike, the lines in which lanes stand, the gates that
 * they pass, and the flows of fair keys. All of it comes from the tables (open.ts) or is only a matter of speed.
 *
 * @module
 */
import type { Keys } from "../../client/types.ts";
import type { Channel, LimitSetting } from "../../client/wire.ts";
import type { Heap } from "./heap.ts";
import type { Pace } from "./pace-of-starts.ts";

/** What the jobs of a lane have in common. */
export interface LaneSpec {
  task: string;
  channel: Channel;
  /** Jobs that have lapsed wait here: a session is given one of them at a time. */
  suspect: boolean;
  keys: Keys | null;
  cost: { [kind: string]: number } | null;
  fairKey: string | null;
}

export interface Lane extends LaneSpec {
  id: number;
  ready: number;
  group: Group;
  /** Of its keys, in the order of their kinds. */
  gates: Gate[];
  /** Where it stands; null: nothing of it is ready. */
  line: Line | null;
  /** The gate that sent it to the open line, until it has been dealt with. */
  via: Gate | null;
  flow: Flow | null;
  /** Ready jobs that follow its first, in order, as far as they are known. */
  next: Head[];
  /** Changes with its place and its first job: entries of before do not count. */
  stamp: number;
}

/** Lanes that the same sessions serve. */
export interface Group {
  task: string;
  channel: Channel;
  suspect: boolean;
  /** The gate of the task. */
  gate: Gate;
  open: Line;
  ready: number;
  /** Ready jobs in the open line. */
  openReady: number;
}

/** The first job of a lane, by what it is ordered by. `level`: its priority, with ageing. */
export interface Head {
  level: number;
  rank: number;
  seq: number;
}

/** A lane's place in a line. */
export interface Entry {
  lane: Lane;
  head: Head;
  /** Of its flow. */
  share: number;
}

/** A lane in a strand; it counts while the lane has the same stamp. */
export interface LaneEntry {
  lane: Lane;
  head: Head;
  stamp: number;
}

/** The lanes of one flow in a line, first that whose job became ready earliest. */
export interface Strand {
  flow: Flow;
  lanes: Heap<LaneEntry>;
  /** Of its latest entry in the line: earlier ones do not count. */
  version: number;
}

export interface StrandEntry extends Entry {
  strand: Strand;
  version: number;
}

/** Lanes in order (see line.ts); those whose first job is not known are `dirty`. */
export interface Line {
  /** Whose line it is; null: the open one. */
  gate: Gate | null;
  /** The share at which what was served last began, by level. */
  served: ReadonlyMap<number, number>;
  strands: Heap<StrandEntry>;
  byFlow: Map<Flow, Strand>;
  dirty: Set<Lane>;
  /** The place of the lane that it sent to the open line last. */
  envoy: Entry | null;
}

/** What lets jobs start or not: see gates.ts. */
export interface Gate {
  key: string;
  limit: LimitSetting;
  /** Running jobs that went through it. */
  holders: number;
  /** Ready jobs that are to go through it; counted for keys only. */
  waiters: number;
  /** Lanes that go through it. */
  lanes: number;
  /** Lanes that wait for it, by group. */
  lines: Map<Group, Line>;
  /** Tokens are saved up until then for a job that needs several. */
  savingUntil: number;
  /** When it is looked at because it may have opened by itself; infinite: nobody waits for that. */
  looksAt: number;
  /** Picked within the present claim: how many jobs, of what cost. */
  taken: number;
  spent: number;
  /** Of the starts through it; null: none yet. */
  pace: Pace | null;
}

/** What the jobs of a fair key were served at one level of urgency. */
export interface Flow {
  share: number;
  /** Lanes of it in any line, and in open ones. */
  lanes: number;
  open: number;
  /** Gates for whose lines, with lanes of other flows in them, lanes of it stand; null: none. */
  standsFor: Set<Gate> | null;
}
