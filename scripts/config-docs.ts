/**
 * Writes what is made from the schema of the configuration: the tables of docs/configuration.md and the schemas for
 * editors. A test of packages/cli fails where they are older than the schema.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { editorSchemas, withTables } from "../packages/cli/src/config/generated.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const document = join(root, "docs/configuration.md");
writeFileSync(document, withTables(readFileSync(document, "utf8")));
for (const [path, schema] of Object.entries(editorSchemas())) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${JSON.stringify(schema, undefined, 2)}\n`);
}
