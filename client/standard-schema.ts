/**
 * The part of Standard Schema v1 (standardschema.dev) that a task needs: any library that implements it can check a
 * payload, and this package depends on none.
 *
 * @module
 */

/** A validator from `Input`, what callers pass, to `Output`, what the handler gets. */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** For types only; never there at run time. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The checked value, or what is wrong. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong, and where. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

type Types<Schema extends StandardSchemaV1> = NonNullable<Schema["~standard"]["types"]>;

/** What callers pass to a schema. */
export type SchemaInput<Schema extends StandardSchemaV1> = Types<Schema>["input"];
/** What a schema makes of it. */
export type SchemaOutput<Schema extends StandardSchemaV1> = Types<Schema>["output"];
