/**
 * Whether an object sleeps while many watch its queue and nothing happens there.
 *
 * @module
 */
import { watchQuietly } from "../test/live/quiet.ts";
import type { SuiteReport } from "./report.ts";

const STREAMS = 1_000;
const SOCKETS = 1_000;
const QUIET_S = 60;

export async function runLive(): Promise<SuiteReport> {
  const live = await watchQuietly(STREAMS, SOCKETS, QUIET_S * 1_000);
  const { madeWhileQuiet, madeByChange, told, toldResult, watchers } = live;
  return {
    json: { live },
    tables: [
      {
        title: `${STREAMS.toLocaleString("en")} event streams and ${SOCKETS.toLocaleString("en")} WebSockets, half on one job, half on its queue`,
        columns: ["what", "seen"],
        rows: [
          [`objects made in ${QUIET_S} s in which nothing happened`, madeWhileQuiet, { most: 0 }],
          ["objects made by the change after it", madeByChange, { least: 1 }],
          ["watchers told how things are", told, { least: watchers }],
          ["watchers of the job told its result", toldResult, { least: watchers / 2 }],
        ],
      },
    ],
  };
}
