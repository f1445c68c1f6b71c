import manifest from "../../../package.json" with { type: "json" };

/** Also the tag of the agent's default image. */
export const VERSION: string = manifest.version;
