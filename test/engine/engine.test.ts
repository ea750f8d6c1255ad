import { describe, it } from "vitest";
import { nodeStorage } from "../support/node-storage.ts";
import { TestQueue } from "./queue.ts";
import { SUITE } from "./suite.ts";

describe.each(Object.entries(SUITE))("%s, on node:sqlite", (_verb, cases) => {
  it.each(cases)("$name", ({ run }) => run(new TestQueue(nodeStorage())));
});
