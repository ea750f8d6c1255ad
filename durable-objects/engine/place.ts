/**
 * Where the jobs of one call stand: at once, later, or behind others of their ordering key.
 *
 * @module
 */
import type { UnfinishedState } from "../../client/types.ts";
import type { EnqueueInput, JobTemplate } from "../../client/wire.ts";
import type { Change } from "./conflicts.ts";
import type { NewRow, Stored } from "./insert.ts";
import { joinLine, loadLines, unblock } from "./ordering.ts";
import type { Tx } from "./ports.ts";
import { type Replacement, replaceJobs } from "./replace.ts";
import { storedOf } from "./template.ts";

/** Carries the changes out, and answers with the new states. A job keeps its place in the line unless its key is another now. */
export function changeJobs(tx: Tx, templates: JobTemplate[], changes: Change[]): Map<number, UnfinishedState> {
  const keyOf = ({ asked }: Change): string | null => templates[asked[0]]!.orderingKey ?? null;
  const moving = changes.filter((change) => keyOf(change) !== change.holder.row.ordering);
  const lines = loadLines(
    tx,
    moving.flatMap((change) => keyOf(change) ?? []),
  );
  const replacements = changes.map((change): Replacement => {
    const { holder, asked } = change;
    const key = keyOf(change);
    const place =
      key === null || key === holder.row.ordering
        ? {
            blocked: key !== null && holder.state === "blocked",
            rank: key === null ? null : Number(holder.row.ordering_rank),
          }
        : joinLine(lines, key, tx.books.nextSeq);
    const stored = storedOf(tx, templates[asked[0]]!, holder.firstAt, place.blocked);
    return { holder, stored, payload: asked[1], orderingRank: place.rank };
  });
  replaceJobs(tx, replacements);
  const states = new Map(
    replacements.map(({ holder, stored }): [number, UnfinishedState] => [holder.seq, stored.state]),
  );
  const left = moving.flatMap(({ holder }) => (holder.row.ordering === null ? [] : [String(holder.row.ordering)]));
  for (const [seq, state] of unblock(tx, left)) states.set(seq, state);
  return states;
}

/** New jobs as rows, and what those that stand alike have in common. */
export function placeJobs(
  tx: Tx,
  templates: JobTemplate[],
  made: EnqueueInput["jobs"],
): { stored: Stored[]; rows: NewRow[] } {
  const lines = loadLines(
    tx,
    made.flatMap(([template]) => templates[template]!.orderingKey ?? []),
  );
  const stored: Stored[] = [];
  const indexOf = new Map<string, number>();
  const rows = made.map(([number, payload], index): NewRow => {
    const template = templates[number]!;
    const key = template.orderingKey ?? null;
    const place = key === null ? null : joinLine(lines, key, tx.books.nextSeq + index);
    const blocked = place?.blocked ?? false;
    const alike = `${number} ${blocked}`;
    const known = indexOf.get(alike) ?? stored.push(storedOf(tx, template, tx.now, blocked)) - 1;
    indexOf.set(alike, known);
    return place ? [known, payload, place.rank] : [known, payload];
  });
  return { stored, rows };
}
