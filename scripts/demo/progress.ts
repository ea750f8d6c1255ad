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

/** The line, cut to fit `columns`: first the bar shrinks and goes, then the end is cut off. */
export function formatProgress({ total, done, counts, phase }: Progress, columns: number): string {
  const width = String(total).length;
  const number = `${String(done).padStart(width)}/${total}`;
  const states = Object.entries(counts ?? {}).filter(([, count]) => count > 0);
  const tail = [phase, ...states.map(([state, count]) => `${count} ${state}`)].join(" · ");
  const room = columns - number.length - tail.length - 4;
  const bar = room < BAR_AT_LEAST ? "" : `${formatBar(total === 0 ? 1 : done / total, Math.min(room, BAR_AT_MOST))} `;
  return `${bar}${number}  ${tail}`.slice(0, Math.max(columns, 0));
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
