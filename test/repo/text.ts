/** Built from parts, so that this file may be checked too. */
const REGISTRY_HOSTS = [
  ["npmjs", "org"],
  ["npmjs", "com"],
  ["yarnpkg", "com"],
  ["npm", "pkg", "github", "com"],
  ["jsr", "io"],
  ["deno", "land"],
  ["pypi", "org"],
  ["pythonhosted", "org"],
  ["crates", "io"],
  ["rubygems", "org"],
  ["proxy", "golang", "org"],
  ["maven", "org"],
].map((labels) => labels.join("."));

/** Spelled so that they do not find themselves. */
const LEFT_OVER = /\b(TO[D]O|FIX[M]E)\b/;
const FOCUSED = /\b(it|test|describe|suite|bench)(\.\w+)*\.only\b/;
const SKIPPED = /\b(it|test|describe|suite|bench)(\.\w+)*\.(skip|todo)\b|\b(xit|xdescribe|xtest)\(/;

/** Lines that should not be committed: left-over notes, focused tests, tests skipped without a reason, registry hosts. */
export function textViolations(path: string, text: string): string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    const at = `${path}:${index + 1}`;
    const host = REGISTRY_HOSTS.find((name) => line.toLowerCase().includes(name));
    const found: string[] = [];
    if (host !== undefined) found.push(`${at} names the package registry ${host}`);
    if (LEFT_OVER.test(line)) found.push(`${at} leaves a note; do it, or open an issue`);
    if (FOCUSED.test(line)) found.push(`${at} runs one test only`);
    if (SKIPPED.test(line) && !hasReason(line, lines[index - 1])) {
      found.push(`${at} skips a test; say why in a comment on this line or the one above`);
    }
    return found;
  });
}

function hasReason(line: string, above = ""): boolean {
  return /\/\/\s*\S+/.test(line) || /^\s*(\/\/|\/\*\*?|\*)\s*\S+/.test(above);
}
