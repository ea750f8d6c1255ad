import type { ExchangeInput } from "../../client/wire.ts";
import { given, type TestQueue } from "./queue.ts";

type Held = [seq: number, fence: number];

/** An exchange of a session that stands ready, for jobs of these tasks or of any. */
export function stand(
  queue: TestQueue,
  session: string,
  want: number,
  turn: Partial<ExchangeInput> = {},
  tasks?: string[],
) {
  const worker = { name: `worker of ${session}`, runtime: "test", ...(tasks && { tasks }) };
  return queue.turn(session, { standing: true, want, worker, ...turn });
}

/** Makes the tables; nobody is expected afterwards. */
export function used(queue: TestQueue): void {
  queue.add();
  queue.run({ outcome: "completed" });
  queue.restart();
}

/** What the latest transaction handed out, by session. */
export function handed(queue: TestQueue): { [session: string]: Held[] } {
  return Object.fromEntries(queue.effects.handouts.map((handout) => [handout.session, given(handout)]));
}

/** How many jobs each was handed. */
export function shares(queue: TestQueue): { [session: string]: number } {
  return Object.fromEntries(Object.entries(handed(queue)).map(([session, jobs]) => [session, jobs.length]));
}

/** How many jobs more each session that stands wants. */
export function wants(queue: TestQueue): { [session: string]: number } {
  return queue.read((tx) => Object.fromEntries([...tx.books.standing].map(([session, { want }]) => [session, want])));
}
