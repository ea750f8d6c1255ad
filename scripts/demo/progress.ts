/** What is going on, in one line. */
export interface Progress {
  total: number;
  done: number;
  /** Jobs by state, as the queue counts them; null while it cannot be asked. */
  counts: { [state: string]: number } | null;
  /** What the line is about: "working", "killed with -9, starting again". */
  phase: string;
}

const BAR_AT_MOST = 30;
const BAR_AT_LEAST = 8;
const PLAIN_EVERY_MS = 2_000;

/** The line within `columns`: the bar shrinks first, then states are left out from the end, then the bar too. */
export function formatProgress({ total, done, counts, phase }: Progress, columns: number): string {
  const number = `${String(done).padStart(String(total).length)}/${total}`;
  const parts = Object.entries(counts ?? {}).flatMap(([state, count]) => (count > 0 ? [`${count} ${state}`] : []));
  const whole = [phase, ...parts].join(" · ");
  const room = Math.max(columns - number.length - whole.length - 3, BAR_AT_LEAST);
  const bar = formatBar(total === 0 ? 1 : done / total, Math.min(room, BAR_AT_MOST));
  const head = `${bar} ${number}`.length <= columns ? `${bar} ${number}` : number;
  const fits = (text: string) => head.length + 2 + text.length <= columns;
  let tail = phase;
  for (const part of parts) {
    if (!fits(`${tail} · ${part}`)) break;
    tail += ` · ${part}`;
  }
  return (fits(tail) ? `${head}  ${tail}` : head).slice(0, Math.max(columns, 0));
}

function formatBar(share: number, cells: number): string {
  const full = Math.floor(Math.min(share, 1) * cells);
  return "█".repeat(full) + "░".repeat(cells - full);
}

/** Where the line goes: `process.stdout`, or something like it. */
export interface Screen {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export interface ProgressView {
  show(progress: Progress): void;
  /** Ends the line, so that other output starts below it. */
  close(): void;
}

/** On a terminal one line that is written anew; elsewhere a line every two seconds and whenever the phase changes. */
export function createProgressView(screen: Screen, now: () => number = Date.now): ProgressView {
  let shown: { at: number; text: string; phase: string } | null = null;
  const onTerminal = (progress: Progress): void => {
    // One column less than there are: a full last column makes some terminals wrap.
    const text = formatProgress(progress, (screen.columns ?? 80) - 1);
    if (text !== shown?.text) screen.write(`\r\x1b[K${text}`);
    shown = { at: now(), text, phase: progress.phase };
  };
  const plain = (progress: Progress): void => {
    const text = formatProgress(progress, 100);
    const isDue = shown === null || progress.phase !== shown.phase || now() - shown.at >= PLAIN_EVERY_MS;
    if (!isDue || text === shown?.text) return;
    screen.write(`${text}\n`);
    shown = { at: now(), text, phase: progress.phase };
  };
  return {
    show: screen.isTTY ? onTerminal : plain,
    close() {
      if (screen.isTTY && shown !== null) screen.write("\n");
      shown = null;
    },
  };
}
