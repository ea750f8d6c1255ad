/**
 * What happens in a worker, in one line each: short words first, for narrow terminals.
 *
 * @module
 */

type Fields = { readonly [field: string]: unknown };

export function lineOf(event: string, fields: Fields): string {
  const { queue, transport, error, retryInMs, jobs, job, task, didYouMean, attempt, outcome, ranMs } = fields;
  switch (event) {
    case "connected":
      return `${queue}: connected (${transport})`;
    case "disconnected":
      return error === undefined ? `${queue}: left` : `${queue}: out of reach, trying on in ${retryInMs} ms: ${error}`;
    case "lease_lost":
      return `${queue}: out of reach for too long, ${jobs} jobs lost`;
    case "unknown_task":
      return `${queue}: the server knows no task "${task}"${didYouMean ? ` (did you mean "${didYouMean}"?)` : ""}`;
    case "job_started":
      return `${job} ${task}${attempt === 1 ? "" : ` (attempt ${attempt})`}`;
    case "job_ended":
      return `${job} ${outcome} after ${ranMs} ms${error === undefined ? "" : `: ${error}`}`;
    case "job_lost":
      return `${job} lost: it runs elsewhere`;
    case "log":
      return logLine(fields);
    default:
      return `${event} ${JSON.stringify(fields)}`;
  }
}

function logLine({ job, message, task: _task, attempt: _attempt, fence: _fence, ...rest }: Fields): string {
  const more = Object.keys(rest).length === 0 ? "" : ` ${shown(rest)}`;
  return `${job} | ${typeof message === "string" ? message : shown(message)}${more}`;
}

/** Handlers may log anything. */
function shown(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return "(cannot be shown)";
  }
}
