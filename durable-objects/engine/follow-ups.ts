/**
 * Follow-up jobs: made in the transaction that completes the job which asked for them, or not at all. Those for this
 * queue are accepted at once; those for others leave as parcels.
 *
 * @module
 */
import type { EnqueueInput, FollowUps, JobTemplate, Parcel, ParcelReply, WireOutcome } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { chunks } from "./chunks.ts";
import { enqueue } from "./enqueue.ts";
import { idOf } from "./inspect.ts";
import { ENQUEUE_JOBS_MAX, FOLLOW_UP_MEMORY_MS } from "./limits.ts";
import { sendParcel } from "./outgoing.ts";
import type { Tx } from "./ports.ts";
import { rememberKey, repeatedKey } from "./requests.ts";
import { invalidUnique } from "./unique.ts";

type Jobs = Pick<EnqueueInput, "templates" | "jobs">;

/** Those of many completions for one queue. */
interface Collected extends Jobs {
  queue: string;
  partition: number;
  /** Names the first attempt that asked for some of them. */
  source: string;
}

/** How many follow-up jobs the settles of an exchange ask for, malformed ones left out. */
export function countFollowUps(outcomes: WireOutcome[]): number {
  let count = 0;
  for (const { enqueue: groups } of outcomes) {
    if (Array.isArray(groups)) for (const group of groups) count += group?.jobs?.length ?? 0;
  }
  return count;
}

/** Whether these are follow-up jobs as the Worker resolves them. They come from outside, so they may be anything. */
export function areFollowUps(groups: unknown): boolean {
  return Array.isArray(groups) && groups.every(isGroup);
}

function isGroup(group: Partial<FollowUps> | null): boolean {
  const { queue, partition, templates, jobs } = group ?? {};
  if (typeof queue !== "string" || !Number.isSafeInteger(partition) || !Array.isArray(templates)) return false;
  if (!Array.isArray(jobs) || jobs.length < 1 || jobs.length > ENQUEUE_JOBS_MAX) return false;
  return templates.every(isTemplate) && jobs.every(isJob, templates);
}

function isTemplate(template: JobTemplate | null): boolean {
  return typeof template?.task === "string" && template.timeoutMs > 0 && invalidUnique(template) === null;
}

function isJob(this: unknown[], job: unknown): boolean {
  if (!Array.isArray(job)) return false;
  const [template, payload] = job;
  return Number.isSafeInteger(template) && template in this && (payload === null || typeof payload === "string");
}

/** Makes the jobs that attempts asked for which have just been completed. */
export function makeFollowUps(tx: Tx, completed: Pick<WireOutcome, "seq" | "fence" | "enqueue">[]): void {
  const byQueue = new Map<string, Collected>();
  for (const { seq, fence, enqueue: groups = [] } of completed) {
    const parent = idOf(tx, seq);
    for (const { queue, partition, templates, jobs } of groups) {
      const key = `${queue}:${partition}`;
      const all = byQueue.get(key) ?? { queue, partition, source: `${parent}/${fence}`, templates: [], jobs: [] };
      byQueue.set(key, all);
      const first = all.templates.length;
      for (const template of templates) all.templates.push({ ...template, parent });
      for (const [template, payload] of jobs) all.jobs.push([first + template, payload]);
    }
  }
  let n = 0;
  for (const { queue, partition, source, ...all } of byQueue.values()) {
    for (const part of parts(all)) {
      if (queue === tx.queue && partition === tx.partition) {
        const { ok } = accept(tx, part);
        assert(ok, "a queue takes its own follow-up jobs");
      } else {
        n += 1;
        sendParcel(tx, queue, partition, [`${source}/${n}`, JSON.stringify(fromNow(tx, part))]);
      }
    }
  }
}

/** Takes the parcels of another queue, each once and on its own. */
export function takeParcels(tx: Tx, parcels: Parcel[]): ParcelReply[] {
  return parcels.map(([source, body]) => {
    const idempotency = { key: `follow-up ${source}`, bodyHash: "" };
    if (repeatedKey(tx, idempotency)) return { ok: true, replayed: true };
    const reply = accept(tx, JSON.parse(body));
    if (!reply.ok) return reply;
    rememberKey(tx, idempotency, { ok: true, jobs: [], replayed: false }, FOLLOW_UP_MEMORY_MS);
    return { ok: true, replayed: false };
  });
}

function accept(tx: Tx, { templates, jobs }: Jobs) {
  const lenient = templates.map(withoutReject);
  return enqueue(tx, { templates: lenient, jobs, requestId: null, idempotency: null });
}

/** There is nobody to whom a conflict could be told, and the job that asked has completed: it gets the holder. */
function withoutReject(template: JobTemplate): JobTemplate {
  if (template.unique?.onConflict !== "reject") return template;
  return { ...template, unique: { ...template.unique, onConflict: "return" } };
}

/** As many as one call takes and one value holds, each part with the templates that it uses. */
function* parts({ templates, jobs }: Jobs): Generator<Jobs> {
  const sizes = templates.map((template) => JSON.stringify(template).length);
  const bytesOf = ([template, payload]: [number, string | null]): number => sizes[template]! + (payload?.length ?? 4);
  for (const chunk of chunks(jobs, bytesOf, ENQUEUE_JOBS_MAX)) {
    const used = [...new Set(chunk.map(([template]) => template))];
    const place = new Map(used.map((template, index) => [template, index]));
    yield {
      templates: used.map((template) => templates[template]!),
      jobs: chunk.map(([template, payload]) => [place.get(template)!, payload]),
    };
  }
}

/** Delays count from the completion, however long the way takes. */
function fromNow(tx: Tx, { templates, jobs }: Jobs): Jobs {
  return {
    templates: templates.map((template) => ({
      ...template,
      runAt: template.runAt ?? (template.delayMs > 0 ? tx.now + template.delayMs : null),
      delayMs: 0,
      deadlineAt: template.deadlineAt ?? (template.deadlineMs == null ? null : tx.now + template.deadlineMs),
      deadlineMs: null,
    })),
    jobs,
  };
}
