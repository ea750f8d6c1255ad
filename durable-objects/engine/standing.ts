/**
 * Sessions that stand ready: their workers keep a socket open, so what an exchange wanted and did not get is handed to
 * them when there is work (handout.ts), and they need not ask.
 *
 * @module
 */
import type { ExchangeInput } from "../../client/wire.ts";
import type { StandingWant, Tx } from "./ports.ts";

/** What stands after an exchange that wanted so many jobs more than it got, which take `bytes`. */
export function standingWant({ session, n, worker }: ExchangeInput, want: number, bytes = 0): StandingWant {
  return { session, n, want: Math.max(0, want), bytes, tasks: worker.tasks ?? null, worker: worker.name };
}

/** Whether a session can run jobs of a task. */
export function runs({ tasks }: Pick<StandingWant, "tasks">, task: string): boolean {
  return tasks?.includes(task) ?? true;
}

/** Notes what an exchange left wanting; one that does not stand takes back what stood. */
export function stand(tx: Tx, input: ExchangeInput, want: number, bytes: number): void {
  if (input.standing === true) tx.books.standing.set(input.session, standingWant(input, want, bytes));
  else tx.books.standing.delete(input.session);
}

/** A session's socket is gone, and it has no other: it is handed nothing more. Writes nothing, so it may be called in a read. */
export function leave({ books: { standing, visitors } }: Tx, session: string): void {
  standing.delete(session);
  // Nobody waits for a worker that has gone.
  const visitor = visitors.get(session);
  if (visitor) visitors.set(session, { ...visitor, backBy: null, gathers: null, gone: true });
}

/** A session that stands ready is told of a new cancel at once; any other, when it asks. */
export function tellOfCancel({ books: { standing, news } }: Tx, session: string, seq: number): void {
  if (!standing.has(session)) return;
  news.cancels.set(session, [...(news.cancels.get(session) ?? []), seq]);
}

/** Takes a session for dead. */
export function dropSilent({ books: { standing, news } }: Tx, session: string): void {
  if (standing.delete(session)) news.silent.push(session);
}
