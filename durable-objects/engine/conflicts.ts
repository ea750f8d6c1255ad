/**
 * What the unique keys of one call come to: which of its jobs are made, which change one that waits, and which
 * another stands for. Decided in order for all of them, before anything is written.
 *
 * @module
 */
import type { EnqueueOutcome } from "../../client/types.ts";
import type { EnqueueAnswer, EnqueueInput, Refusal, UniqueTemplate } from "../../client/wire.ts";
import { idOf } from "./inspect.ts";
import type { Tx } from "./ports.ts";
import { isFinal } from "./states.ts";
import { type Holder, holdsKey, invalidUnique, keyUntil, loadKeys, type Noted, waits } from "./unique.ts";

type Asked = EnqueueInput["jobs"][number];

/** A job that waits is to become what was asked for. */
export interface Change {
  holder: Holder;
  asked: Asked;
}

export interface Resolved {
  ok: true;
  /** To be made, in order. */
  made: Asked[];
  changes: Change[];
  /** The states are those before the call. */
  answers: EnqueueAnswer[];
  /** Keys that change hands or terms. */
  notes: Noted[];
  known: Map<string, Holder>;
}

/** Reads only. Refuses all where one job is not valid or rejects. */
export function resolveConflicts(tx: Tx, { templates, jobs, ownOnly = false }: EnqueueInput): Resolved | Refusal {
  const wrong = jobs.findIndex(([template]) => invalidUnique(templates[template]!) !== null);
  if (wrong >= 0) {
    const detail = `Cannot enqueue jobs[${wrong}]: ${invalidUnique(templates[jobs[wrong]![0]]!)}`;
    return { ok: false, code: "invalid_request", detail };
  }
  const firstSeq = tx.books.nextSeq;
  const known = loadKeys(
    tx,
    jobs.flatMap(([template]) => templates[template]!.unique?.key ?? []),
  );
  const noted = new Map<string, Noted>(known);
  const made: Asked[] = [];
  const changes = new Map<number, Change>();
  const answers: EnqueueAnswer[] = [];
  for (const [index, asked] of jobs.entries()) {
    const { unique = null, actor } = templates[asked[0]]!;
    const other = unique ? noted.get(unique.key) : undefined;
    if (unique === null || other === undefined || !holdsKey(other, tx.now)) {
      const seq = firstSeq + made.length;
      made.push(asked);
      answers.push({ seq, state: "ready", outcome: "created" });
      if (unique) noted.set(unique.key, noteOf(unique, { seq, firstAt: tx.now, state: "ready" }));
      continue;
    }
    const name = jobs.length === 1 ? "the job" : `jobs[${index}]`;
    const holder = known.get(unique.key);
    // Whose a job was that has ended is not kept with its key.
    const strange = ownOnly && other.seq < firstSeq && !isFinal(other.state) && holder!.row.actor !== actor;
    if (strange) return notOwn(name, unique);
    if (unique.onConflict === "reject") return rejected(tx, name, other, answers);
    const outcome = outcomeOf(unique, other);
    answers.push({ seq: other.seq, state: other.state, outcome });
    if (outcome !== "replaced" && outcome !== "debounced") continue;
    if (other.seq >= firstSeq) made[other.seq - firstSeq] = asked;
    else changes.set(other.seq, { holder: holder!, asked });
    noted.set(unique.key, noteOf(unique, other));
  }
  const notes = [...noted.values()].filter((note) => known.get(note.key) !== note);
  return { ok: true, made, changes: [...changes.values()], answers, notes, known };
}

function noteOf(unique: UniqueTemplate, { seq, firstAt, state }: Pick<Noted, "seq" | "firstAt" | "state">): Noted {
  return { key: unique.key, seq, states: unique.states, firstAt, until: keyUntil(unique, firstAt), state };
}

function outcomeOf({ onConflict }: UniqueTemplate, other: Noted): EnqueueOutcome {
  if (onConflict === "throttle") return "throttled";
  if (onConflict === "return" || !waits(other.state)) return "returned";
  return onConflict === "replace" ? "replaced" : "debounced";
}

function rejected(tx: Tx, asked: string, { key, seq, state }: Noted, answers: EnqueueAnswer[]): Refusal {
  const holder =
    seq < tx.books.nextSeq
      ? `job ${idOf(tx, seq)}, which is ${state}`
      : `jobs[${answers.findIndex((answer) => answer.seq === seq)}] of the same call`;
  const detail = `Cannot enqueue ${asked}: its unique key "${key}" is held by ${holder}`;
  return { ok: false, code: "conflict", detail };
}

function notOwn(asked: string, { key }: UniqueTemplate): Refusal {
  const detail = `Cannot enqueue ${asked}: its unique key "${key}" is held by a job of another actor, and this token is for those of its own`;
  return { ok: false, code: "conflict", detail };
}
