/**
 * Carries parcels of follow-up jobs to other queues, the oldest first for each. What has no answer is kept and sent
 * again, for ever: the other queue takes each once. Queues do not wait for each other, nor does any work here.
 *
 * @module
 */
import type { Refusal } from "../client/wire.ts";
import type { Engine } from "./engine/engine.ts";
import { DELIVERY_AT_MOST_MS, DELIVERY_TIMEOUT_MS } from "./engine/limits.ts";
import {
  confirmDelivery,
  type Delivery,
  deliveryFailed,
  dueTargets,
  nextDelivery,
  type Target,
} from "./engine/outgoing.ts";
import type { Tx } from "./engine/ports.ts";
import type { ShellPorts } from "./ports.ts";

/** Refusals that the queue may take back; all others are limits of the contract, and stand. */
const MAY_PASS: readonly Refusal["code"][] = ["unavailable", "rate_limited", "not_configured", "internal"];

export class Courier {
  readonly #ports: ShellPorts;
  readonly #engine: Engine;
  readonly #commit: (verb: (tx: Tx) => void) => void;
  readonly #arm: (at: number | null) => void;

  constructor(
    ports: ShellPorts,
    engine: Engine,
    commit: (verb: (tx: Tx) => void) => void,
    arm: (at: number | null) => void,
  ) {
    this.#ports = ports;
    this.#engine = engine;
    this.#commit = commit;
    this.#arm = arm;
  }

  /** Delivers what is due. Never rejects. */
  async deliver(): Promise<void> {
    const due = this.#engine.read(this.#ports.now(), dueTargets) ?? [];
    await Promise.all(due.map((target) => this.#deliverTo(target)));
  }

  async #deliverTo(target: Target): Promise<void> {
    try {
      while (await this.#deliverNext(target));
    } catch (error) {
      this.#failed(target, error);
    }
  }

  /** Sends the oldest parcels; true when there were some. */
  async #deliverNext(target: Target): Promise<boolean> {
    const { deliver, within, now } = this.#ports;
    const { queue, partition } = target;
    const next = this.#engine.read(now(), (tx) => nextDelivery(tx, target, tx.now + DELIVERY_AT_MOST_MS));
    if (!next) return false;
    const replies = await within(DELIVERY_TIMEOUT_MS, deliver(queue, partition, next.parcels));
    if (replies.length !== next.ids.length) throw new Error(`${replies.length} answers to ${next.ids.length} parcels`);
    const open = replies.findIndex((reply) => !reply.ok && MAY_PASS.includes(reply.code));
    const answered = open < 0 ? replies.length : open;
    if (answered > 0) this.#confirm(next, answered, replies as ({ ok: true } | Refusal)[]);
    if (open < 0) return true;
    const { code, detail } = replies[open] as Refusal;
    throw new Error(`${code}: ${detail}`);
  }

  #confirm(delivery: Delivery, count: number, replies: ({ ok: true } | Refusal)[]): void {
    const { target, parcels } = delivery;
    let refused = 0;
    let delivered = 0;
    for (const [index, [source, body]] of parcels.slice(0, count).entries()) {
      const reply = replies[index]!;
      const jobs: number = JSON.parse(body).jobs.length;
      if (reply.ok) {
        delivered += jobs;
        continue;
      }
      refused += jobs;
      const { code, detail } = reply;
      this.#ports.log("error", "followup_refused", { ...this.#between(target), source, jobs, code, detail });
    }
    this.#commit((tx) => {
      confirmDelivery(tx, delivery, count);
      tx.books.metrics.followUpsDelivered += delivered;
      tx.books.metrics.followUpsRefused += refused;
    });
  }

  #failed(target: Target, error: unknown): void {
    const retryAt = this.#engine.read(this.#ports.now(), (tx) => deliveryFailed(tx, target));
    this.#arm(retryAt);
    this.#ports.log("warn", "followups_failed", { ...this.#between(target), retryAt, error: String(error) });
  }

  #between({ queue, partition }: Target) {
    return { queue: this.#ports.queue, to: `${queue}:${partition}` };
  }
}
