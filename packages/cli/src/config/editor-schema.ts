/** The schema of a configuration file as JSON Schema, for editors. Made from the schema that judges files. */
import * as z from "zod";
import { factsOf, type KeyFacts, keysOf } from "./keys.ts";
import { longFormOf } from "./values.ts";

export type JsonSchema = { [keyword: string]: unknown };

/** @param defaults by the key's path */
export function editorSchema(
  schema: z.ZodType,
  title: string,
  defaults: Readonly<Record<string, unknown>>,
): JsonSchema {
  const paths = new Map([...keysOf(schema)].map((key) => [key.schema, key.path]));
  const keyed = (zodSchema: z.ZodType, json: JsonSchema): void => {
    const facts = factsOf(zodSchema);
    if (facts === undefined) return;
    const value = defaults[paths.get(zodSchema) ?? ""];
    Object.assign(json, value === undefined ? {} : { default: value });
    describe(json, facts);
  };
  return { ...typeSchema(schema, keyed), title };
}

/** Only what a value may be. */
export function typeSchema(
  schema: z.ZodType,
  keyed: (schema: z.ZodType, json: JsonSchema) => void = () => {},
): JsonSchema {
  return z.toJSONSchema(schema, {
    io: "input",
    // What most editors know best.
    target: "draft-7",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const schema = zodSchema as unknown as z.ZodType;
      const json = jsonSchema as JsonSchema;
      const forms = longFormOf(schema);
      if (forms !== undefined)
        json.anyOf = [forms.short, forms.long].map((form) => {
          const { $schema, ...inner } = typeSchema(form, keyed);
          return inner;
        });
      allowTemplates(json);
      keyed(schema, json);
    },
  }) as JsonSchema;
}

/** `"{{ get_env(name='MODE') }}"` may stand where only some texts may. */
function allowTemplates(json: JsonSchema): void {
  if (json.type !== "string") return;
  if (typeof json.pattern === "string" && !json.pattern.endsWith(TEMPLATE))
    json.pattern = `(?:${json.pattern})|${TEMPLATE}`;
  if (!Array.isArray(json.enum)) return;
  json.anyOf = [{ enum: json.enum }, { pattern: TEMPLATE }];
  delete json.enum;
}
const TEMPLATE = "\\{\\{";

/** An editor refuses what inpod refuses, and does not propose it. */
function describe(json: JsonSchema, facts: KeyFacts): void {
  json.description = sentences(facts);
  if (facts.effect !== "not yet" && facts.effect !== "refused") return;
  const { description } = json;
  for (const keyword of Object.keys(json)) delete json[keyword];
  const { $schema, ...harmless } = facts.harmless ? typeSchema(facts.harmless) : { not: {} };
  // doNotSuggest is VS Code's.
  Object.assign(json, harmless, { description, doNotSuggest: true });
}

const EFFECTS = {
  works: "",
  "no effect": "No effect",
  "not yet": "Not supported yet",
  refused: "Cannot be used",
} as const;

function sentences({ what, effect, why }: KeyFacts): string {
  const first = `${what[0]?.toUpperCase()}${what.slice(1)}.`;
  const head = EFFECTS[effect];
  if (head === "") return why === undefined ? first : `${first} (${why}.)`;
  return `${first} ${head}${why ? `: ${why}` : ""}.`;
}
