import { DurableObject } from "cloudflare:workers";

/** Placeholder until the object lands. */
export class MillraceQueue extends DurableObject {}

export default {
  fetch: () => new Response("not yet"),
  queue() {},
  scheduled() {},
};
