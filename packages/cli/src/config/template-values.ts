/** What a template stands for. */
import { nearest } from "@inpod/protocol";
import type { Call, Expression } from "./template-syntax.ts";

/** A value, or why there is none. */
export type Rendered =
  | { readonly kind: "value"; readonly text: string }
  | { readonly kind: "none"; readonly why: string }
  | { readonly kind: "wrong"; readonly why: string };

export interface TemplateFacts {
  readonly env: NodeJS.ProcessEnv;
  /** Undefined while the key itself is read. */
  readonly key: (() => string) | undefined;
  /** Asked only when a template does. */
  readonly gitBranch: () => Rendered;
}

const value = (text: string): Rendered => ({ kind: "value", text });
const wrong = (why: string): Rendered => ({ kind: "wrong", why });

type Values = Readonly<Record<string, string>>;

const VARIABLES: Readonly<Record<string, (facts: TemplateFacts) => Rendered>> = {
  key: ({ key }) => (key === undefined ? wrong("the key cannot be made of itself") : value(key())),
  git_branch: ({ gitBranch }) => gitBranch(),
};

interface Arguments {
  readonly needed: readonly string[];
  readonly optional?: readonly string[];
}

const FUNCTIONS: Readonly<
  Record<string, Arguments & { readonly call: (values: Values, facts: TemplateFacts) => Rendered }>
> = {
  get_env: {
    needed: ["name"],
    optional: ["default"],
    call: ({ name = "", default: instead }, { env }) => {
      const found = env[name] ?? instead;
      return found === undefined
        ? { kind: "none", why: `variable ${name} is not set, and the template has no default` }
        : value(found);
    },
  },
};

const FILTERS: Readonly<
  Record<string, Arguments & { readonly apply: (text: string, values: Values) => string }>
> = {
  lower: { needed: [], apply: (text) => text.toLowerCase() },
  upper: { needed: [], apply: (text) => text.toUpperCase() },
  trim: { needed: [], apply: (text) => text.trim() },
  replace: {
    needed: ["from", "to"],
    apply: (text, { from = "", to = "" }) => (from === "" ? text : text.replaceAll(from, () => to)),
  },
  slugify: {
    needed: [],
    apply: (text) =>
      text
        .normalize("NFKD")
        .replace(/\p{M}/gu, "")
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, ""),
  },
  /** Applied by render: it is for what is not there. */
  default: { needed: ["value"], apply: (text) => text },
};

const KNOWN = [
  ...Object.keys(VARIABLES).map((name) => `{{ ${name} }}`),
  '{{ get_env(name="…", default="…") }}',
].join(", ");

export function render(expression: Expression, facts: TemplateFacts): Rendered {
  switch (expression.kind) {
    case "text":
      return value(expression.text);
    case "mistake":
      return wrong(expression.why);
    case "pipe": {
      const { source, filters } = expression;
      const first = "text" in source ? value(source.text) : resolve(source, facts);
      return filters.reduce(filtered, first);
    }
  }
}

function resolve({ name, values }: Call, facts: TemplateFacts): Rendered {
  if (values === undefined) {
    const variable = own(VARIABLES, name);
    if (variable !== undefined) return variable(facts);
    if (own(FUNCTIONS, name) !== undefined)
      return wrong(`${name} is a function: ${name}(name="…")`);
    return unknown(`variable "${name}" in a template`, name);
  }
  const known = own(FUNCTIONS, name);
  if (known === undefined) {
    if (own(VARIABLES, name) !== undefined) return wrong(`${name} is a variable: {{ ${name} }}`);
    return unknown(`function "${name}" in a template`, name);
  }
  return problemOf(name, known, values) ?? known.call(values, facts);
}

function filtered(input: Rendered, { name, values = {} }: Call): Rendered {
  if (input.kind === "wrong") return input;
  const filter = own(FILTERS, name);
  if (filter === undefined) {
    const names = Object.keys(FILTERS);
    return wrong(
      `unknown filter "${name}" in a template${suggestion(name, names)} (known: ${names.join(", ")})`,
    );
  }
  const problem = problemOf(name, filter, values);
  if (problem !== undefined) return problem;
  if (input.kind === "none") return name === "default" ? value(values.value ?? "") : input;
  return value(filter.apply(input.text, values));
}

function problemOf(name: string, { needed, optional = [] }: Arguments, values: Values) {
  const missing = needed.find((each) => own(values, each) === undefined);
  if (missing !== undefined) return wrong(`${name}(…) needs ${missing}="…"`);
  const allowed = [...needed, ...optional];
  const other = Object.keys(values).find((each) => !allowed.includes(each));
  if (other === undefined) return undefined;
  return wrong(`${name}(…) takes no "${other}"${suggestion(other, allowed)}`);
}

const unknown = (what: string, name: string): Rendered =>
  wrong(
    `unknown ${what}${suggestion(name, [...Object.keys(VARIABLES), ...Object.keys(FUNCTIONS)])} ` +
      `(known: ${KNOWN}; text with {{ in it: {% raw %}…{% endraw %})`,
  );

function suggestion(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === undefined ? "" : `, did you mean ${meant}?`;
}

/** Names come from a file: `constructor` is none of ours. */
const own = <Value>(table: Readonly<Record<string, Value>>, name: string): Value | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;
