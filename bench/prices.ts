/**
 * What a million jobs cost on Cloudflare's paid plan, beyond what is included, in US dollars as of November 2026.
 * CPU time, time that an object is awake and storage are left out: together some cents.
 *
 * @module
 */
import type { Counters } from "./counters.ts";

const WORKER_REQUEST = 0.3;
const OBJECT_REQUEST = 0.15;
const ROW_WRITTEN = 1;
const ROW_READ = 0.001;
const QUEUE_OPERATION = 0.4;
/** Written, read and deleted. */
const OPERATIONS_PER_MESSAGE = 3;

/** Dollars per million jobs, from counts per job. */
export function dollarsPerMillion(perJob: Counters): number {
  return (
    WORKER_REQUEST * perJob.workerRequests +
    OBJECT_REQUEST * perJob.objectRequests +
    ROW_WRITTEN * (perJob.objectRows + perJob.d1Rows) +
    ROW_READ * (perJob.objectRowsRead + perJob.d1RowsRead) +
    QUEUE_OPERATION * OPERATIONS_PER_MESSAGE * perJob.queueMessages
  );
}
