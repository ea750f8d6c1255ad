/**
 * A page of jobs that an operation finds, and what becomes of it.
 *
 * @module
 */
import type { FinalState } from "../../client/types.ts";
import type { BulkReply } from "../../client/wire.ts";
import { queueSettings } from "../config.ts";
import type { OperationProgress, OperationRow } from "../history/operations.ts";
import type { FinishedCursor } from "../history/recent.ts";
import { isCurrent, readPage, type Sources } from "../listing.ts";

type Page = NonNullable<OperationProgress["page"]>;

/** Most jobs of one step. */
const PAGE_JOBS = 200;

/** How many jobs the next page may have: about a second's worth of the rate, and no more than the canary still lacks. */
export function pageLimit({ asked: { rate, canary, dryRun }, progress }: OperationRow): number {
  if (dryRun) return PAGE_JOBS;
  const perSecond = rate === null ? PAGE_JOBS : Math.floor((rate.limit * 1_000) / rate.perMs);
  const ahead = progress.canary;
  const lacks = canary === null || ahead?.passed ? PAGE_JOBS : canary.count - (ahead === null ? 0 : started(ahead));
  return Math.max(1, Math.min(PAGE_JOBS, perSecond, lacks));
}

const started = ({ waiting, completed, failed }: NonNullable<OperationProgress["canary"]>): number =>
  waiting.length + completed + failed;

/** The next jobs, as the lists of the API find them. */
export async function findPage(sources: Sources, row: OperationRow, limit: number): Promise<Page> {
  const { asked, progress } = row;
  const { queue, ...filter } = asked.filter;
  if (queue !== null) {
    const beforeSeq = progress.cursor === null ? null : (progress.cursor[0] as number);
    const { records, nextSeq } = await readPage(sources, queue, { ...filter, beforeSeq, limit });
    // As `to` does for lists without a queue.
    const meant = records.filter(({ finishedAt }) => finishedAt === null || finishedAt <= row.createdAt);
    const jobs = meant.map(({ seq, fence }): Page["jobs"][number] => [queue, seq, fence]);
    return { jobs, next: nextSeq === null ? null : [nextSeq] };
  }
  const states = filter.states as FinalState[] | null;
  const cursor = progress.cursor as FinishedCursor | null;
  const { items, nextCursor } = await sources.history().finishedJobs({ ...filter, states, cursor, limit });
  // Changing a job looks at what it is by then; counting it does not.
  const current = asked.dryRun ? await Promise.all(items.map((item) => isCurrent(sources, item))) : null;
  const jobs = items
    .filter(({ partition }, index) => partition === 0 && (current === null || current[index]))
    .map((item): Page["jobs"][number] => [item.queue, item.record.seq, item.record.fence]);
  return { jobs, next: nextCursor };
}

export function countPage(row: OperationRow): void {
  row.matched += row.progress.page!.jobs.length;
}

/**
 * Changes the jobs of the page at hand and counts what became of them. In a page that is repeated after it was cut
 * short, a job that is no longer what was looked for counts as changed: most likely by the first time.
 */
export async function changePage(sources: Sources, row: OperationRow, repeated: boolean): Promise<void> {
  const { jobs } = row.progress.page!;
  const groups = [...Map.groupBy(jobs, ([queue]) => queue)];
  const answers = await Promise.all(groups.map(([queue, group]) => changeGroup(sources, row, queue, group)));
  const changed: [queue: string, seq: number][] = [];
  groups.forEach(([queue, group], at) => {
    group.forEach(([, seq], index) => {
      const answer = answers[at]![index]!;
      if (answer === "absent" && !repeated) return;
      row.matched += 1;
      if (answer === "refused") row.failed += 1;
      else if (answer === "changed" || repeated) changed.push([queue, seq]);
    });
  });
  row.changed += changed.length;
  noteCanary(row, changed);
  spend(row, jobs.length);
}

async function changeGroup(
  sources: Sources,
  { action, asked }: OperationRow,
  queue: string,
  group: Page["jobs"],
): Promise<BulkReply> {
  if (queueSettings(sources.config, queue) === null) return group.map(() => "refused");
  const { runAt, priority, filter } = asked;
  const jobs = group.map(([, seq, fence]): [number, number] => [seq, fence]);
  return sources.stub(queue).bulk({ action, jobs, states: filter.states, runAt, priority });
}

function noteCanary({ asked, progress }: OperationRow, changed: [queue: string, seq: number][]): void {
  if (asked.canary === null) return;
  progress.canary ??= { waiting: [], completed: 0, failed: 0, passed: false };
  if (!progress.canary.passed) progress.canary.waiting.push(...changed);
}

/** Each job takes its share of the time: so many a second on average, with nothing saved up while nobody worked. */
function spend({ asked: { rate }, progress }: OperationRow, jobs: number): void {
  if (rate === null) return;
  progress.notBefore = Math.max(progress.notBefore, Date.now()) + (jobs * rate.perMs) / rate.limit;
}
