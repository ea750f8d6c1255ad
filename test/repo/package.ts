/** The parts of a package.json that have rules. */
export interface Package {
  exports: { [name: string]: string };
  dependencies?: { [name: string]: string };
  devDependencies?: { [name: string]: string };
}

const EXACT = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

/** Exports that point nowhere, and dependencies whose version is not exact. */
export function packageViolations(pkg: Package, exists: (path: string) => boolean): string[] {
  const missing = Object.entries(pkg.exports)
    .filter(([, target]) => !target.startsWith("./") || !exists(target.slice(2)))
    .map(([name, target]) => `the export ${name} points to ${target}, which does not exist`);
  const loose = Object.entries({ ...pkg.dependencies, ...pkg.devDependencies })
    .filter(([, version]) => !EXACT.test(version))
    .map(([name, version]) => `${name} has the version ${version}; give an exact one, such as 1.2.3`);
  return [...missing, ...loose];
}
