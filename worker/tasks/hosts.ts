/**
 * Which hosts are public.
 *
 * Works on `URL.hostname`, which the URL parser has brought into one form: lower case, punycode, IPv4 as four
 * decimals whatever it was written in (`0x7f.1`, `017700000001`, `2130706433`, `１２７.0.0.1`), IPv6 compressed.
 *
 * @module
 */

/** What a host that is not public is; `internal` are names that only a private resolver answers. */
export type HostKind =
  | "loopback"
  | "unspecified"
  | "private"
  | "link-local"
  | "shared"
  | "metadata"
  | "multicast"
  | "unique-local"
  | "IPv4 inside IPv6"
  | "reserved"
  | "internal";

type Range = [base: string, bits: number, kind: HostKind];

/** IANA's special-purpose registry, and one cloud's metadata address that lies in public space. */
const V4_RANGES: Range[] = [
  ["0.0.0.0", 8, "unspecified"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "shared"],
  ["127.0.0.0", 8, "loopback"],
  ["168.63.129.16", 32, "metadata"],
  ["169.254.0.0", 16, "link-local"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "reserved"],
  ["192.0.2.0", 24, "reserved"],
  ["192.88.99.0", 24, "reserved"],
  ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "reserved"],
  ["198.51.100.0", 24, "reserved"],
  ["203.0.113.0", 24, "reserved"],
  ["224.0.0.0", 4, "multicast"],
  ["240.0.0.0", 4, "reserved"],
];

/** The first that fits counts. What lies outside of 2000::/3 is reserved, whether it is listed or not. */
const V6_RANGES: Range[] = [
  ["::", 128, "unspecified"],
  ["::1", 128, "loopback"],
  ["::", 96, "IPv4 inside IPv6"],
  ["::ffff:0:0", 96, "IPv4 inside IPv6"],
  ["::ffff:0:0:0", 96, "IPv4 inside IPv6"],
  ["64:ff9b::", 96, "IPv4 inside IPv6"],
  ["64:ff9b:1::", 48, "IPv4 inside IPv6"],
  ["2002::", 16, "IPv4 inside IPv6"],
  ["2001::", 32, "IPv4 inside IPv6"],
  ["2001::", 23, "reserved"],
  ["2001:db8::", 32, "reserved"],
  ["3fff::", 20, "reserved"],
  ["fc00::", 7, "unique-local"],
  ["fe80::", 10, "link-local"],
  ["ff00::", 8, "multicast"],
];

/** Last labels that no public resolver serves; a name of one label is internal too. */
const INTERNAL_SUFFIXES = new Set([
  "alt",
  "cluster",
  "corp",
  "example",
  "home",
  "internal",
  "intranet",
  "invalid",
  "lan",
  "local",
  "localdomain",
  "mail",
  "onion",
  "private",
  "svc",
  "test",
]);

/**
 * Says what kind of host this is, where it is not a public one.
 *
 * A name is judged by its text alone: nothing here knows what it resolves to.
 *
 * @param hostname as `URL.hostname` gives it: IPv6 in brackets, a trailing dot allowed
 * @returns null for a public host
 * @example hostKind("10.0.0.1") // "private"
 */
export function hostKind(hostname: string): HostKind | null {
  if (hostname.startsWith("[")) return v6Kind(parseV6(hostname.slice(1, -1)));
  if (/^\d+\.\d+\.\d+\.\d+$/.test(hostname)) return rangeOf(parseV4(hostname), V4, 32);
  return nameKind(withoutDot(hostname));
}

/** `example.com.` and `example.com` are one host. */
export function withoutDot(hostname: string): string {
  return hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
}

function nameKind(name: string): HostKind | null {
  const labels = name.split(".");
  const last = labels.at(-1)!;
  if (last === "localhost" || /^(localhost|ip6-(localhost|loopback))(\.localdomain)?$/.test(name)) return "loopback";
  if (labels.length === 1 || labels.includes("") || INTERNAL_SUFFIXES.has(last)) return "internal";
  return name === "home.arpa" || name.endsWith(".home.arpa") ? "internal" : null;
}

function v6Kind(address: bigint): HostKind | null {
  return rangeOf(address, V6, 128) ?? (address >> 125n === 1n ? null : "reserved");
}

interface ParsedRange {
  base: bigint;
  bits: number;
  kind: HostKind;
}

const V4: ParsedRange[] = V4_RANGES.map(([base, bits, kind]) => ({ base: parseV4(base), bits, kind }));
const V6: ParsedRange[] = V6_RANGES.map(([base, bits, kind]) => ({ base: parseV6(base), bits, kind }));

function rangeOf(address: bigint, ranges: ParsedRange[], width: number): HostKind | null {
  const found = ranges.find(({ base, bits }) => (address ^ base) >> BigInt(width - bits) === 0n);
  return found?.kind ?? null;
}

function parseV4(text: string): bigint {
  return text.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

/** Takes what URL parsers write: hexadecimal groups and at most one `::`. */
function parseV6(text: string): bigint {
  const [head = "", tail] = text.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}
