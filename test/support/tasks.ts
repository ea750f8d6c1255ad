import { defineTask } from "../../client/index.ts";
export const echo = defineTask({ name: "echo" }).handler((input) => input);
export const TASKS = [echo] as const;
