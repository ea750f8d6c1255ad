import { it } from "vitest";
import type { ExchangeInput } from "../../client/wire.ts";
import { expectCaught, type Mutant, rewritten } from "./mutant.ts";

/** What a session gathers is served first, and nothing else after it. */
function gathersOnly(input: ExchangeInput): ExchangeInput {
  const { gather, want } = input;
  return gather ? { ...input, want: 0, gather: { ...gather, want: gather.want + want } } : input;
}

const MUTANTS: Mutant[] = [
  {
    what: "what is gathered before what is wanted",
    breaks: ["work-conserving", "told"],
    features: "takes",
    hooks: () => ({ withoutBooks: true, exchange: gathersOnly }),
  },
  {
    what: "lines of logs that are taken twice",
    breaks: ["logs"],
    hooks: () => ({
      withoutBooks: true,
      exchange: (input) => ({ ...input, ...(input.logs && { logs: [...input.logs, ...input.logs] }) }),
    }),
  },
  {
    what: "an explanation that knows no time",
    breaks: ["explained"],
    hooks: rewritten(
      "SELECT lane, state, reason, priority, rank, run_at,",
      "SELECT lane, state, reason, priority, rank, 0 AS run_at,",
    ),
  },
  {
    what: "an explanation that knows no order",
    breaks: ["explained"],
    features: "ordering",
    hooks: rewritten(
      "SELECT lane, state, reason, priority,",
      "SELECT lane, iif(state = 'blocked', 'scheduled', state) AS state, reason, priority,",
    ),
  },
  {
    what: "a deleted queue that keeps its unique keys",
    breaks: ["forgotten"],
    features: "unique",
    hooks: () => ({ withoutBooks: true, sql: (query) => (query === "DELETE FROM uniques" ? "SELECT 1" : query) }),
  },
];

it.each(MUTANTS)("catches $what", expectCaught);
