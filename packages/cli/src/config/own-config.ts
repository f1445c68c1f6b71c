/** The user's own configuration: what is theirs and not a project's, outside of any repository. */
import { join } from "node:path";
import * as z from "zod";
import { imageKey } from "./agent-keys.ts";
import { works } from "./keys.ts";
import { ENDINGS, isFile } from "./read-file.ts";
import { list, section, text } from "./values.ts";

export const ownSchema = section({
  $schema: works(z.string({ error: "a string" }), "where an editor finds the schema of this file"),
  protected_contexts: works(
    list(text, "names of contexts"),
    "contexts of the kubeconfig that are asked about before anything is taken from a pod; * and ? stand for any letters",
  ),
  kubeconfig: works(text, "kubeconfig to use where a project names none"),
  kube_context: works(text, "context of the kubeconfig where a project names none"),
  agent: works(
    section({ image: works(imageKey, "image of the agent where a project names none") }),
    "what runs beside the target",
  ),
});

export type OwnConfig = z.output<typeof ownSchema>;

/** The first that exists of config.json, .yaml, .yml and .toml in the folder for such files. */
export function findOwnConfig(env: NodeJS.ProcessEnv): string | undefined {
  const folder = env.XDG_CONFIG_HOME || (env.HOME && join(env.HOME, ".config"));
  if (!folder) return undefined;
  return ENDINGS.map((ending) => join(folder, "inpod", `config${ending}`)).find(isFile);
}
