import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** `inpod-routes`: beside the bundle, or in dist/ of a checkout. */
export const HELPER: string = (() => {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, "inpod-routes");
  return existsSync(beside) ? beside : join(here, "../../../dist/inpod-routes");
})();
