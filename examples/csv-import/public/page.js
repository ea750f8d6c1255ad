import { createClient, isJobFailed, isMillraceError } from "./millrace.js";

/** Of the file. As JSON it is larger, so that the Worker may refuse it all the same. */
const MAX_BYTES = 400_000;
const TOO_LARGE = `This file is too large: ${MAX_BYTES.toLocaleString("en")} bytes are the most.`;

const element = (id) => document.getElementById(id);

/** The token is the visitor's own, so this session may keep it. A page that is reloaded goes on watching with it. */
async function connect() {
  const token = sessionStorage.getItem("token") ?? (await newToken());
  return createClient({ url: new URL("/jobs", location.href).href, token });
}

async function newToken() {
  const response = await fetch("/session", { method: "POST" });
  const { token } = await response.json();
  sessionStorage.setItem("token", token);
  return token;
}

/** Shows a job until it has ended. */
async function show(client, id) {
  element("log").replaceChildren();
  for await (const view of client.job(id).watch()) {
    element("bar").value = view.percent ?? 0;
    if (view.event === "log") element("log").append(line(view.log.message));
    else if (view.event !== "result") element("status").textContent = view.note ?? `The import is ${view.state}.`;
  }
  const { rows, skipped } = await client.job(id).result();
  element("bar").value = 100;
  element("status").textContent = `${rows} rows imported, ${skipped} skipped.`;
}

function line(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}

async function watch(id) {
  try {
    await show(await connect(), id);
  } catch (error) {
    tell(error);
  }
}

function tell(error) {
  if (isMillraceError(error) && error.status === 401) sessionStorage.removeItem("token");
  element("status").textContent = wordsFor(error);
}

/** For a visitor; what only a developer understands goes to the console. */
function wordsFor(error) {
  if (isJobFailed(error)) return `The import failed: ${error.message}`;
  if (isMillraceError(error) && error.status === 413) return TOO_LARGE;
  console.error(error);
  return "The server cannot be asked at the moment. Reload this page, or choose the file again.";
}

element("file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  if (file.size > MAX_BYTES) {
    element("status").textContent = TOO_LARGE;
    return;
  }
  try {
    const client = await connect();
    const job = await client.enqueue("import-csv", { file: file.name, text: await file.text() });
    sessionStorage.setItem("job", job.id);
    await watch(job.id);
  } catch (error) {
    tell(error);
  }
});

const unfinished = sessionStorage.getItem("job");
if (unfinished) await watch(unfinished);
