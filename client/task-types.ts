/**
 * What TypeScript can tell from a task, or from all tasks of a program (`typeof tasks`).
 *
 * @module
 */
import type { AnyTaskDeclaration } from "./task.ts";
import type { Json } from "./types.ts";

type TypesOf<Task extends AnyTaskDeclaration> = NonNullable<Task["~types"]>;

/** What callers pass as the payload of a task. */
export type InputOf<Task extends AnyTaskDeclaration> = TypesOf<Task>["input"];

/** What a job of a task ends with, after its way through JSON. `Json` where only the declaration is known. */
export type ResultOf<Task extends AnyTaskDeclaration> = Result<TypesOf<Task>["result"]>;

/** The tasks in `Tasks`: an array or tuple of them, or an object or module that holds them among other things. */
export type TasksIn<Tasks> = Extract<
  Tasks extends readonly (infer Member)[] ? Member : Tasks[keyof Tasks],
  AnyTaskDeclaration
>;

/** The names of the tasks in `Tasks`. */
export type TaskName<Tasks> = TasksIn<Tasks>["name"];

/** The task of that name in `Tasks`; any task where the names are not known. */
export type TaskNamed<Tasks, Name extends string> =
  string extends TaskName<Tasks> ? AnyTaskDeclaration : Extract<TasksIn<Tasks>, { readonly name: Name }>;

type Result<Value> = IsAny<Value> extends true ? Value : Value extends void ? null : Serialized<Value>;

/** A value after `JSON.parse(JSON.stringify(value))`. */
type Serialized<Value> =
  IsAny<Value> extends true
    ? Value
    : unknown extends Value
      ? Json
      : Value extends Json | undefined
        ? Value
        : Value extends { toJSON(): infer Shown }
          ? Serialized<Shown>
          : Value extends object
            ? { [Key in keyof Value as Value[Key] extends Unshown ? never : Key]: Serialized<Value[Key]> }
            : never;

// biome-ignore lint/suspicious/noExplicitAny: any function
type Unshown = symbol | ((...args: any[]) => any);
type IsAny<Value> = 0 extends 1 & Value ? true : false;
