/**
 * What keys with limits cost in rows: the same jobs with and without, counted from rest to rest.
 *
 * Lanes that no job is in any more are forgotten when there are a thousand of them. So after the lone jobs a thousand
 * keys more are used at once, and what that writes more than on the plain queue is the lone jobs' too.
 *
 * @module
 */
import type { SettingsPatch } from "../client/wire.ts";
import { count, type Kind, LONE_JOBS, NOOP, runBulk, runLone } from "./cost.ts";
import { type Counters, PAYLOAD } from "./counters.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { rounded } from "./report.ts";

const SWEPT_AT_LANES = 1_000;
const BULK_KEYS = 50;
/** High enough not to hold any job up. */
const LIMITS: SettingsPatch = {
  limits: { tenant: { concurrency: 1_000, rateLimit: { limit: 1_000, perMs: 1_000, burst: 1_000 } } },
};

/** Rows a job. */
interface Compared {
  plain: number;
  keyed: number;
  more: number;
}
export interface KeyedRows {
  lone: Compared;
  bulk: Compared;
}

const lone: Kind = { task: "keyed", payload: (n: number) => ({ ...PAYLOAD, tenant: `lone-${n}` }) };
const shared: Kind = { task: "keyed", payload: (n: number) => ({ ...PAYLOAD, tenant: `k${n % BULK_KEYS}` }) };

export async function countKeyed(): Promise<KeyedRows> {
  const millrace = await startMillrace({ watch: true });
  try {
    const [alone, aloneKeyed] = [
      await countLone(millrace, "rows-lone", NOOP),
      await countLone(millrace, "rows-lone-keyed", lone),
    ];
    const swept = (aloneKeyed.sweep - alone.sweep) / LONE_JOBS;
    return {
      lone: compared(alone.perJob, aloneKeyed.perJob + swept),
      bulk: compared(
        await countBulk(millrace, "rows-bulk", NOOP),
        await countBulk(millrace, "rows-bulk-keyed", shared),
      ),
    };
  } finally {
    await millrace.stop();
  }
}

function compared(plain: number, keyed: number): Compared {
  return { plain: rounded(plain, 4), keyed: rounded(keyed, 4), more: rounded(keyed - plain, 4) };
}

async function countBulk(millrace: Millrace, queue: string, kind: Kind): Promise<number> {
  await millrace.call("configure", { queue, patch: LIMITS });
  const { perJob } = await count(millrace, queue, () => runBulk(millrace, queue, kind));
  return perJob.objectRows;
}

/** Rows of a lone job, and those that a sweep then writes in all. */
async function countLone(millrace: Millrace, queue: string, kind: Kind): Promise<{ perJob: number; sweep: number }> {
  await millrace.call("configure", { queue, patch: LIMITS });
  const { perJob } = await count(millrace, queue, () => runLone(millrace, queue, kind));
  return { perJob: perJob.objectRows, sweep: await sweep(millrace, queue) };
}

/** The queue is paused, so that nothing else goes on. */
async function sweep(millrace: Millrace, queue: string): Promise<number> {
  await millrace.call("pause", { queue });
  const before = await millrace.call<Counters>("counters");
  const payloads = Array.from({ length: SWEPT_AT_LANES }, (_, n) => ({ ...PAYLOAD, tenant: `sweep-${n}` }));
  await millrace.client().enqueueMany("keyed", payloads, { queue });
  const after = await millrace.call<Counters>("counters");
  return after.objectRows - before.objectRows;
}
