#!/usr/bin/env node
/**
 * A stand-in for wrangler: keeps a Cloudflare account in the JSON file `ACCOUNT_FILE` and answers as wrangler
 * 4.156 does, with its exit codes, its order of failing and its error texts.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

export interface Account {
  loggedIn: boolean;
  /** What the configuration asks for, by environment. */
  config: { [env: string]: { worker: string; databases: { binding: string; name: string }[]; queues: string[] } };
  databases: { [name: string]: { migrations: string[] } };
  queues: string[];
  workers: { [name: string]: { secrets: { [name: string]: string }; draft: boolean } };
  /** Files of the migrations folder. */
  migrations: string[];
  /** Commands that fail once, by their first words; `done`: the account is changed first, only the answer is lost. */
  failures: { command: string; done: boolean }[];
  /** Every command that changed the account, in order. */
  changes: string[];
}

class Complaint extends Error {}

function main(argv: string[]): void {
  const file = process.env.ACCOUNT_FILE!;
  const account = JSON.parse(readFileSync(file, "utf8")) as Account;
  const env = argv.find((arg) => arg.startsWith("--env="))?.slice("--env=".length) ?? "";
  const words = argv.slice(0, argv.indexOf("--config"));
  const failure = account.failures.find(({ command }) => words.join(" ").startsWith(command));
  account.failures = account.failures.filter((each) => each !== failure);
  try {
    if (failure && !failure.done) throw new Complaint("A request to the Cloudflare API failed. [code: 10000]");
    const { said, changed } = answer(words, account, env);
    if (changed) account.changes.push(words.join(" "));
    if (failure) throw new Complaint("The connection was lost.");
    console.log(said);
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    console.error(`\n\u2718 [ERROR] ${error.message}\n`);
    process.exitCode = 1;
  } finally {
    writeFileSync(file, JSON.stringify(account));
  }
}

function answer(words: string[], account: Account, env: string): { said: string; changed?: boolean } {
  const [first, second, third] = words as [string, string, string];
  if (first === "whoami") {
    if (!account.loggedIn) process.exitCode = 1;
    return { said: JSON.stringify({ loggedIn: account.loggedIn }) };
  }
  if (!account.loggedIn) throw new Complaint("You are not logged in.");
  const config = account.config[env];
  if (config === undefined) throw new Complaint(`No environment found in configuration with name "${env}".`);
  const worker = account.workers[config.worker];
  switch (words.slice(0, first === "deploy" ? 1 : 2).join(" ")) {
    case "d1 info":
      if (!account.databases[third]) throw new Complaint(`Couldn't find a D1 DB named '${third}' in the API.`);
      return { said: third };
    case "d1 create":
      if (account.databases[third]) throw new Complaint("A database with that name already exists [code: 7502]");
      account.databases[third] = { migrations: [] };
      return { said: `Successfully created DB '${third}'`, changed: true };
    case "d1 migrations":
      return migrate(words, account, config.databases);
    case "queues info":
      if (!account.queues.includes(third)) throw new Complaint(`Queue "${third}" does not exist.`);
      return { said: third };
    case "queues create":
      if (account.queues.includes(third)) throw new Complaint("Queue name is already taken [code: 11009]");
      account.queues.push(third);
      return { said: `Created queue '${third}'`, changed: true };
    case "deploy":
      return upload(account, config);
    case "secret list":
      if (!worker) throw new Complaint(`Worker "${config.worker}" not found [code: 10007]`);
      return { said: JSON.stringify(Object.keys(worker.secrets).map((name) => ({ name, type: "secret_text" }))) };
    case "secret put":
      // Without a Worker wrangler makes an empty draft that holds the secret.
      account.workers[config.worker] ??= { secrets: {}, draft: true };
      account.workers[config.worker]!.secrets[third] = readFileSync(0, "utf8").trimEnd();
      return { said: `Success! Uploaded secret ${third}`, changed: true };
    default:
      throw new Complaint(`Unknown arguments: ${first}, ${second}`);
  }
}

function migrate(words: string[], account: Account, databases: { binding: string; name: string }[]) {
  if (words[2] !== "apply" || words[4] !== "--remote") throw new Complaint("Expected apply <binding> --remote");
  const { name } = databases.find(({ binding }) => binding === words[3]) ?? {};
  const database = name === undefined ? undefined : account.databases[name];
  if (!database) throw new Complaint(`Couldn't find a D1 DB named '${name}' (bound as '${words[3]}') in the API.`);
  const pending = account.migrations.filter((each) => !database.migrations.includes(each));
  if (pending.length === 0) return { said: "\u2705 No migrations to apply!" };
  database.migrations.push(...pending);
  return { said: pending.join("\n"), changed: true };
}

function upload(account: Account, config: Account["config"][string]) {
  for (const queue of config.queues) {
    if (!account.queues.includes(queue)) throw new Complaint(`Queue "${queue}" does not exist.`);
  }
  for (const { name } of config.databases) {
    if (!account.databases[name]) throw new Complaint(`Couldn't find a D1 DB named '${name}' in the API.`);
  }
  const changed = account.workers[config.worker] === undefined;
  account.workers[config.worker] = { secrets: account.workers[config.worker]?.secrets ?? {}, draft: false };
  return {
    said: `Uploaded ${config.worker}\nDeployed ${config.worker} triggers\n  https://${config.worker}.example.workers.dev`,
    changed,
  };
}

if (process.env.ACCOUNT_FILE !== undefined) main(process.argv.slice(2));
