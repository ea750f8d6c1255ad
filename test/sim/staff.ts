import { type AnyTask, defineTask } from "../../client/task.ts";
import { RemoteWorker, type Terms } from "./remote.ts";
import { RogueSocket } from "./rogue-socket.ts";
import type { Site } from "./site.ts";
import { simTasks, TASK_NAMES } from "./tasks.ts";

/** Of a queue that is done with faults: it runs what nobody else has a handler for. */
const NOBODY = defineTask({ name: "nobody" }).handler(() => "done after all") as unknown as AnyTask;
export const ALL: ReadonlyMap<string, AnyTask> = new Map([...simTasks(), ["nobody", NOBODY]]);

/** The remote workers of a queue: they come, crash, stop, and come again. */
export class Staff {
  readonly workers = new Set<RemoteWorker>();
  readonly rogue: RogueSocket;
  readonly #site: Site;
  #hired = 0;
  #calm = false;

  constructor(site: Site) {
    this.#site = site;
    this.rogue = new RogueSocket(site, "rogue3");
  }

  /** The first workers come. */
  open(): void {
    for (let i = this.#site.random.int(1, 3); i > 0; i--) this.#come();
  }

  /** From now on one stays for good that can do everything; the others leave. */
  calm(): void {
    this.#calm = true;
    for (const worker of this.workers) worker.stop(30_000);
    this.rogue.close();
    this.hire({ name: `w${++this.#hired}`, tasks: ALL, slots: 6, sockets: this.#site.random.chance(0.7) });
  }

  #come(): void {
    const { random, clock } = this.#site;
    clock.in(random.pick([0, 0, 2_000, 90_000]), () => {
      if (this.#calm) return;
      const some = random.weighted({ all: 4, most: 3, one: 3 });
      const only = random.pick(TASK_NAMES.slice(0, -1));
      const knows = { all: () => true, most: () => random.chance(0.6), one: (task: string) => task === only }[some];
      const tasks = new Map([...simTasks()].filter(([task]) => knows(task)));
      if (tasks.size === 0) return this.#come();
      const sockets = random.chance(0.8);
      const worker = this.hire({ name: `w${++this.#hired}`, tasks, slots: random.int(1, 8), sockets });
      clock.in(random.int(1_000, random.pick([60_000, 1_800_000])), () => {
        if (this.#calm || worker.dead) return;
        worker.stop(random.pick([0, 0, 3_000, 30_000]));
      });
    });
  }

  hire(terms: Terms): RemoteWorker {
    const { note, model } = this.#site;
    const worker = new RemoteWorker(this.#site, terms);
    note(`${terms.name} comes with ${terms.slots} slots, ${terms.sockets ? "by socket" : "polling"}`);
    this.workers.add(worker);
    void worker
      .run()
      .catch((error) => model.fail("check", `worker ${terms.name} gave up: ${error}`))
      .finally(() => this.#left(worker));
    return worker;
  }

  crash(worker: RemoteWorker): void {
    worker.crash();
    this.#left(worker);
  }

  #left(worker: RemoteWorker): void {
    if (this.workers.delete(worker) && !this.#calm) this.#come();
  }
}
