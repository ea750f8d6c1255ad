import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";

/** What a receiver is told of a file. */
export interface FileReport {
  /** Path within the folder, with `/`. */
  name: string;
  /** Bytes. */
  size: number;
  /** SHA-256 of the bytes, in hexadecimal. */
  digest: string;
  /** The text, up to 100 KiB of it; null where the bytes are no UTF-8. */
  text: string | null;
}

const TEXT_BYTES = 100 * 1024;
/** A payload may have 128 KiB as JSON, where quotes and line ends take two bytes and control characters six. */
const JSON_BYTES = 120 * 1024;
/** Not what anybody wrote. */
const SKIPPED = new Set(["node_modules", "coverage", "dist"]);

/**
 * The regular files below a folder, sorted by name; hidden ones, links and installed packages are left out.
 * Rejects when a folder cannot be read.
 */
export async function findFiles(folder: string, wanted: (name: string) => boolean = () => true): Promise<string[]> {
  const found: string[] = [];
  const visit = async (at: string): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      if (entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
      const path = join(at, entry.name);
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile() && wanted(entry.name)) found.push(relative(folder, path).split(sep).join("/"));
    }
  };
  await visit(folder);
  return found.sort();
}

/** Reads a file once, whatever its size, keeping only the text that is sent. Rejects when it cannot be read. */
export async function readReport(folder: string, name: string): Promise<FileReport> {
  const hash = createHash("sha256");
  const head: Buffer[] = [];
  let size = 0;
  for await (const chunk of createReadStream(join(folder, name)) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    if (size < TEXT_BYTES) head.push(chunk.subarray(0, TEXT_BYTES - size));
    size += chunk.length;
  }
  return { name, size, digest: hash.digest("hex"), text: textOf(Buffer.concat(head), size) };
}

export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function textOf(head: Buffer, size: number): string | null {
  try {
    // A character that the cut divides is left out; one that the file itself breaks is an error.
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return fitted(decoder.decode(head, { stream: head.length < size }));
  } catch {
    return null;
  }
}

function fitted(text: string): string {
  let cut = text;
  while (Buffer.byteLength(JSON.stringify(cut)) > JSON_BYTES) {
    const shorter = cut.slice(0, Math.floor(cut.length * 0.8));
    cut = shorter.isWellFormed() ? shorter : shorter.slice(0, -1);
  }
  return cut;
}
