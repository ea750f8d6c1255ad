import { existsSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { expect, it } from "vitest";
import { listFiles, ROOT, readText } from "../repo/sources.ts";
import { listPages } from "./snippets.ts";

const pages = listPages();

it.each(pages)("%s links to what is there", (page) => {
  const links = [...readText(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  const broken = links.filter((target) => !/^https:/.test(target) && !isThere(page, target));
  expect(broken).toEqual([]);
});

function isThere(page: string, target: string): boolean {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? page : normalize(join(dirname(page), path));
  if (!existsSync(join(ROOT, file))) return false;
  return anchor === undefined || anchorsOf(readText(file)).includes(anchor);
}

function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** A name in code's clothes, such as `loadIds` or `ROLLUP_MS`, is one that the code has. */
it.each(pages.filter((page) => /^(ARCHITECTURE|docs\/decisions)/.test(page)))(
  "%s speaks of names that the code has",
  (page) => {
    const sources = listFiles().filter((path) => /\.(ts|sql|toml)$/.test(path) && !path.startsWith("test/docs/"));
    const words = new Set(sources.flatMap((path) => readText(path).match(/\w+/g) ?? []));
    const named = [...readText(page).matchAll(/`#?([A-Za-z]\w*(?:_|[a-z][A-Z])\w*)`/g)].map(([, name]) => name!);
    expect(named.filter((name) => !words.has(name))).toEqual([]);
  },
);

/** `a/b.ts` in full, or the bare name of a file of this repository that the page speaks of. */
it.each(pages)("%s names files that are there", (page) => {
  const files = listFiles();
  const names = new Set(files.map((path) => basename(path)));
  const folders = new Set(files.map((path) => `${dirname(path)}/`));
  const named = [...readText(page).matchAll(/`([\w./-]+\.(?:ts|toml|sql|md)|[\w-]+(?:\/[\w-]+)*\/)`/g)].map(
    ([, path]) => path!,
  );
  const missing = named.filter((path) => {
    if (path.endsWith("/"))
      return !existsSync(join(ROOT, path)) && ![...folders].some((one) => one.endsWith(`/${path}`));
    return path.includes("/") ? !files.some((file) => file === path || file.endsWith(`/${path}`)) : !names.has(path);
  });
  expect(missing).toEqual([]);
});
