/** Throws on a programmer's error. Operating errors are returned, never asserted. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Invariant broken: ${message}`);
}
