/**
 * What errors of the same cause have in common: their name, their message without what differs from job to job, and
 * the top of their stack without lines and folders, which differ from release to release.
 *
 * @module
 */
import type { JobError } from "../../client/types.ts";

/** More of a message says nothing more of its cause. */
const MESSAGE_CHARS = 1_000;
const FRAMES = 3;

/**
 * The fingerprint of an error: 16 hex digits, the same on every machine.
 *
 * @example
 * fingerprintOf({ name: "Error", message: "no user 17", stack: null }) ===
 *   fingerprintOf({ name: "Error", message: "no user 4711", stack: null })
 */
export function fingerprintOf({ name, message, stack }: Omit<JobError, "fingerprint">): string {
  const frames = stack === null ? [] : framesOf(stack);
  return hash([plain(name), plain(message.slice(0, MESSAGE_CHARS)), ...frames].join("\n"));
}

/**
 * A text without ids. V8 quotes data twice and names once: `"abc" is not valid JSON`, `reading 'length'`. Every
 * expression here takes time in proportion to the text, whatever the text.
 */
function plain(text: string): string {
  return text
    .replaceAll(/"[^"]*"/g, '"*"')
    .replaceAll(/[^\s'`(),;<>[\]{}=]+/g, (word) => (word.includes("@") ? "*" : word.replaceAll(/[\w-]+/g, withoutId)));
}

/** Whatever holds a digit is taken for a number or an id, and so is a long word of hex digits. */
function withoutId(word: string): string {
  return /\d/.test(word) || (word.length >= 8 && /^[a-f]+$/i.test(word)) ? "*" : word;
}

/** `at handler (file:///app/mail.ts:10:5)` and `handler@https://app/mail.js:10:5` both become `handler mail`. */
function framesOf(stack: string): string[] {
  const frames: string[] = [];
  for (const line of stack.split("\n")) {
    const frame = frameOf(line.trim());
    if (frame !== null) frames.push(frame);
    if (frames.length === FRAMES) break;
  }
  return frames;
}

function frameOf(line: string): string | null {
  if (line.startsWith("at ")) {
    const [what = "", place = ""] = line.endsWith(")") ? cut(line.slice(3, -1), " (") : ["", line.slice(3)];
    return `${plain(what.replace(/^(async|new) /, ""))} ${fileOf(place)}`;
  }
  const at = line.indexOf("@");
  if (at < 0 || !/:\d+$/.test(line)) return null;
  return `${plain(line.slice(0, at))} ${fileOf(line.slice(at + 1))}`;
}

function cut(text: string, at: string): [string, string] {
  const index = text.lastIndexOf(at);
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index + at.length)];
}

/** The name alone: folders, endings, lines and the hashes of bundlers change with every deployment. */
function fileOf(place: string): string {
  const file = place.slice(place.lastIndexOf("/") + 1);
  return plain(file.split(/[:?]/, 1)[0]!).split(".", 1)[0]!;
}

/** Two lanes of FNV-1a with their own beginnings, over UTF-16 units: 64 bits without big integers. */
function hash(text: string): string {
  let low = 0x811c9dc5;
  let high = 0xcbf29ce4;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b);
  }
  return hex(mix(high ^ low)) + hex(mix(low));
}

/** Spreads what changed in few bits over all of them (the end of MurmurHash3). */
function mix(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

const hex = (bits: number): string => (bits >>> 0).toString(16).padStart(8, "0");
