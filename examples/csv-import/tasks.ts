import { setTimeout as sleep } from "node:timers/promises";
import { defineTask } from "millrace";
import { z } from "zod";

/** What a page uploads. `user` is pinned by the page's token: nobody imports in another's name. */
const Upload = z.object({ user: z.string(), file: z.string().max(200), text: z.string().max(400_000) });

const ROWS_AT_ONCE = 100;

export const importCsv = defineTask({
  name: "import-csv",
  input: Upload,
  queue: "imports",
  maxAttempts: 3,
  timeout: "5m",
}).handler(async ({ text }, ctx) => {
  const [head = "", ...rows] = text.trim().split(/\r?\n/);
  const columns = head.split(",").length;
  let skipped = 0;
  for (let done = 0; done < rows.length; done += ROWS_AT_ONCE) {
    const part = rows.slice(done, done + ROWS_AT_ONCE);
    for (const [index, row] of part.entries()) {
      if (row.split(",").length === columns) continue;
      skipped += 1;
      ctx.log.warn(`Row ${done + index + 2} does not have ${columns} columns`);
    }
    // Here the rows go into your database, under ctx.fence, so that a late attempt changes nothing.
    await sleep(100, undefined, { signal: ctx.signal });
    const seen = done + part.length;
    ctx.progress({ percent: (seen / rows.length) * 100, note: `${seen} of ${rows.length} rows` });
  }
  return { rows: rows.length - skipped, skipped, columns };
});

export const tasks = [importCsv] as const;
