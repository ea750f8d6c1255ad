/** Remembers what was made of the latest keys, at most `kept` of them. For what is pure and dear to make. */
export function memo<Value>(kept: number): (key: string, make: () => Value) => Value {
  const values = new Map<string, Value>();
  return (key, make) => {
    const known = values.has(key) ? (values.get(key) as Value) : make();
    values.delete(key);
    values.set(key, known);
    if (values.size > kept) values.delete(values.keys().next().value!);
    return known;
  };
}
