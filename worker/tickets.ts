/**
 * Tickets on Cloudflare Queues: how one is sent, and how it is told from a user's own messages.
 *
 * @module
 */
import { QUEUE_NAME } from "../client/task-check.ts";
import type { Channel, Ticket } from "../client/wire.ts";

/** Marks a message as Millrace's, whatever queue it comes through. */
const MARK = "millrace-ticket";
/** Queues take at most this many messages a call. */
const BATCH_MAX = 100;

interface Message extends Ticket {
  kind: typeof MARK;
}

/** Where tickets of each channel go. */
export type TicketQueues = Record<Channel, Queue>;

/** Sends tickets. Throws when a queue refuses: the object then finds the work waiting and sends again. */
export async function sendTickets(queues: TicketQueues, tickets: Ticket[]): Promise<void> {
  for (const channel of ["short", "long"] as const) {
    const messages = tickets
      .filter((ticket) => ticket.channel === channel)
      .map((ticket) => ({ body: toMessage(ticket) }));
    for (let from = 0; from < messages.length; from += BATCH_MAX) {
      await queues[channel].sendBatch(messages.slice(from, from + BATCH_MAX));
    }
  }
}

function toMessage({ queue, partition, channel }: Ticket): Message {
  return { kind: MARK, queue, partition, channel };
}

/** The ticket in a message's body; null when it is somebody else's message. */
export function ticketOf(body: unknown): Ticket | null {
  const message = body as Partial<Message> | null;
  if (typeof message !== "object" || message?.kind !== MARK) return null;
  const { queue, partition, channel } = message;
  if (typeof queue !== "string" || !QUEUE_NAME.test(queue)) return null;
  if (!Number.isInteger(partition) || partition! < 0) return null;
  if (channel !== "short" && channel !== "long") return null;
  return { queue, partition: partition!, channel };
}
