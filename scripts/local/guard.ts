/**
 * Loaded into wrangler's process before wrangler itself (`node --import`).
 *
 * Its file descriptor 3 is a pipe from the process that started it. When that process is gone, however it went,
 * the pipe closes and the whole process group goes too: wrangler, both workerd, esbuild.
 *
 * The admin token comes by the environment and becomes an argument only here, because a command line can be read
 * by every user of the machine.
 *
 * @module
 */
import { Socket } from "node:net";
import { isMainThread } from "node:worker_threads";

const { MILLRACE_GUARD: guarded, MILLRACE_TOKEN: token } = process.env;
if (isMainThread && guarded !== undefined) {
  delete process.env.MILLRACE_GUARD;
  delete process.env.MILLRACE_TOKEN;
  if (token !== undefined) process.argv.push("--var", `MILLRACE_TOKEN:${token}`);
  const parent = new Socket({ fd: 3, readable: true, writable: false });
  parent.on("error", () => {});
  parent.on("close", () => process.kill(-process.pid, "SIGKILL"));
  parent.resume();
  parent.unref();
}
