import { describe, expect, it } from "vitest";
import { createGuard } from "../../../worker/tasks/guard.ts";
import { GUARD_CASES } from "../../tasks/guard-cases.ts";

/** The guard stands on what the URL parser makes of a host: the same table as in Node, on workerd's parser. */
describe.each(Object.entries(GUARD_CASES))("guard in workerd: %s", (_, { allow, self, urls }) => {
  it.each(urls)("%s", (url, verdict) => {
    const { url: allowed, problem } = createGuard(allow, self)(url);
    if (verdict === true) expect(problem ?? allowed?.protocol).toMatch(/^https?:$/);
    else expect(problem ?? `allowed as ${allowed?.href}`).toMatch(verdict);
  });
});
