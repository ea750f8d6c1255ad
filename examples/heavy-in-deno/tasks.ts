import { defineTask } from "millrace";
import { z } from "zod";

const Video = z.object({ video: z.string(), seconds: z.number().positive() });

/** Light: its handler is attached in worker.ts. */
export const describe = defineTask({ name: "describe", input: Video, queue: "video", timeout: "30s" });

/** Heavy, and longer than a Worker lives: its handler is attached in encoder.ts. */
export const encode = defineTask({ name: "encode", input: Video, queue: "video", timeout: "2h" });
