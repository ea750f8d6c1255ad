/**
 * Tables for people.
 *
 * @module
 */

/** What a suite found: its part of the JSON object, and the same for people. */
export interface SuiteReport {
  json: { [section: string]: unknown };
  tables: Table[];
}

/** What is promised for a number. */
export type Budget = { most: number } | { least: number };

export interface Table {
  title: string;
  /** The first heads the names, the others the cells. The budget's column is added where a row has one. */
  columns: string[];
  /** A name, its cells, and the budget that the first cell is held against. */
  rows: [name: string, ...cells: (string | number)[], budget: Budget | undefined][];
  notes?: string[];
}

export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A table as lines of text, columns aligned. */
export function textOf({ title, columns, rows, notes = [] }: Table): string {
  const judged = rows.some((row) => row.at(-1) !== undefined);
  const lines = rows.map((row) => {
    const cells = row.slice(0, -1) as (string | number)[];
    return judged ? [...cells, ...judgement(Number(cells[1]), row.at(-1) as Budget | undefined)] : cells;
  });
  const all = [judged ? [...columns, "budget", ""] : columns, ...lines].map((line) => line.map(shown));
  const widths = all[0]!.map((_, at) => Math.max(...all.map((line) => line[at]?.length ?? 0)));
  const text = all.map((line) =>
    line
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
      .join("  ")
      .trimEnd(),
  );
  return [title, ...text.map((line) => `  ${line}`), ...notes.map((note) => `  ${note}`), ""].join("\n");
}

function judgement(value: number, budget: Budget | undefined): string[] {
  if (budget === undefined) return ["", ""];
  const [sign, limit] = "most" in budget ? ["<=", budget.most] : [">=", budget.least];
  const isMet = "most" in budget ? value <= limit : value >= limit;
  return [`${sign} ${limit}`, isMet ? "met" : "MISSED"];
}

function shown(cell: string | number): string {
  return typeof cell === "number" ? cell.toLocaleString("en-US", { maximumFractionDigits: 3 }) : cell;
}
