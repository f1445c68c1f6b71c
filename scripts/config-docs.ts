/**
 * Writes what is made from code: from the schema of the configuration the tables of docs/configuration.md and the
 * schemas for editors, from the list of rights the tables of docs/rights.md, from the lists of variables those of
 * docs/environment.md. Tests fail where they are older.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withEnvironmentTables } from "../packages/cli/src/config/environment-tables.ts";
import { editorSchemas, withTables } from "../packages/cli/src/config/generated.ts";
import { withFamiliarTables } from "../packages/cli/src/familiar/page.ts";
import { withRightsTables } from "../packages/targets/src/kubernetes/reach/rights-table.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const document = join(root, "docs/configuration.md");
writeFileSync(document, withTables(readFileSync(document, "utf8")));
const environment = join(root, "docs/environment.md");
writeFileSync(environment, withEnvironmentTables(readFileSync(environment, "utf8")));
const familiar = join(root, "docs/coming-from.md");
writeFileSync(familiar, withFamiliarTables(readFileSync(familiar, "utf8")));
const rights = join(root, "docs/rights.md");
writeFileSync(rights, withRightsTables(readFileSync(rights, "utf8")));
for (const [path, schema] of Object.entries(editorSchemas())) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${JSON.stringify(schema, undefined, 2)}\n`);
}
