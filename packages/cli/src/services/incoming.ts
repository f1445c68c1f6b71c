/** What a command says of incoming traffic, in the place of what a project's configuration says for `exec`. Pure. */
import type { ResolvedConfig } from "../config/resolve.ts";

/** All of it: a filter is for `exec`. */
export function withoutFilter(config: ResolvedConfig): ResolvedConfig {
  const { httpFilter: _, ...incoming } = config.layer.incoming;
  return { ...config, layer: { ...config.layer, incoming } };
}
