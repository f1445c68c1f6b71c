/** What is to be run for each service of the file: the words of a command of ours, and a program beside it. Pure. */
import { UserError } from "@inpod/protocol";
import { merged } from "../config/tree.ts";
import { type Common, PORT_MODES, type Service, TRAFFIC_MODES } from "./schema.ts";

export interface Part {
  readonly service: string;
  /** `session`: `words` are for inpod; `program`: of a program of the user's, beside it. */
  readonly kind: "session" | "program";
  readonly words: readonly [string, ...string[]];
  /** Configuration of the session beyond its flags. */
  readonly patch: Readonly<Record<string, unknown>>;
  /** Of a program, or of what a session runs. */
  readonly directory: string | undefined;
  /** More variables of a program that is not in a pod's place. */
  readonly variables: Readonly<Record<string, string>>;
  /** The target is found by the service's name. */
  readonly isInferred: boolean;
}

export interface Said {
  readonly key: string;
  readonly context: string | undefined;
  readonly namespace: string | undefined;
  readonly kubeconfig: string | undefined;
  /** `-m`: for every service that has a program in a pod's place. */
  readonly mode: (typeof TRAFFIC_MODES)[number] | undefined;
  readonly hasSaidYes: boolean;
  readonly isVerbose: boolean;
}

interface Context extends Said {
  readonly name: string;
  readonly common: Common;
  /** Begins a mistake: the place of this key of the service. */
  readonly at: (key: string) => string;
}

/** @throws Mistake */
export function partsOf(service: Service, context: Context): Part[] {
  const mode = modeOf(service, context);
  if ((PORT_MODES as readonly string[]).includes(mode) || isPortMirror(service, mode))
    return portParts(mode, service, context);
  return [execPart(mode, service, context)];
}

/** For UserErrors that have a place in the file. */
export class Mistake extends Error {}

function modeOf(service: Service, { name, at, mode }: Context): string {
  const { mode: said, default_mode: fallback } = service;
  if (said !== undefined && fallback !== undefined)
    throw new Mistake(`${at("default_mode")}: "services.${name}" says both mode and default_mode`);
  const own = said ?? fallback;
  const isTraffic = own === undefined || (TRAFFIC_MODES as readonly string[]).includes(own);
  if (mode !== undefined && isTraffic && !isPortMirror(service, own)) return mode;
  // What mirrord does: only the requests that carry the session's key come here.
  if (own === undefined && commandOf(service) !== undefined) return "split";
  if (own !== undefined) return own;
  throw new Mistake(
    `${at("")}: "services.${name}" has neither a command to run in the place of its pod nor a mode`,
  );
}

/** Copies that go to a port, and not to a program in the pod's place. */
const isPortMirror = ({ expose }: Service, mode: string | undefined): boolean =>
  mode === "mirror" && expose !== undefined;

const commandOf = ({ run, command }: Service): readonly [string, ...string[]] | undefined => {
  const said = run?.command ?? command;
  if (said === undefined) return undefined;
  return typeof said === "string" ? ["sh", "-c", said] : (said as [string, ...string[]]);
};

function execPart(mode: string, service: Service, context: Context): Part {
  const { name, at, key } = context;
  const command = commandOf(service);
  if (service.run !== undefined && service.command !== undefined)
    throw new Mistake(`${at("command")}: "services.${name}" says both command and run.command`);
  if (command === undefined)
    throw new Mistake(`${at("mode")}: "services.${name}" needs a command for mode ${mode}`);
  for (const unused of [
    "expose",
    "header",
    "version_mark",
    "path_prefix",
    "external",
    "local",
    "remote",
  ] as const)
    if (service[unused] !== undefined)
      throw new Mistake(
        `${at(unused)}: "services.${name}.${unused}" is for modes without a program in the pod's place, not for ${mode}`,
      );
  const { target, isTargetless, namespace } = targetOf(service);
  const filter = service.http_filter ?? {
    header_filter: `baggage: .*mirrord-session=${escaped(key)}.*`,
  };
  const incoming = {
    ...(mode === "exec" ? {} : { mode: mode === "mirror" ? "mirror" : "steal" }),
    ...((mode === "split" || mode === "mirror") && !isTargetless ? { http_filter: filter } : {}),
    ...((mode === "exec" || mode === "steal") && service.http_filter
      ? { http_filter: service.http_filter }
      : {}),
    ...(service.ignore_ports && { ignore_ports: service.ignore_ports }),
  };
  const feature = {
    ...(service.env && { env: service.env }),
    ...(Object.keys(incoming).length > 0 && !isTargetless ? { network: { incoming } } : {}),
  };
  return {
    service: name,
    kind: "session",
    words: [
      "exec",
      ...(isTargetless ? ["-t", "targetless"] : target === undefined ? [] : ["-t", target]),
      ...placeWords(service, namespace, context),
      ...["-k", key, "--", ...command],
    ],
    patch: patchOf(service, context, Object.keys(feature).length > 0 ? { feature } : {}),
    directory: service.directory,
    variables: {},
    isInferred: target === undefined && !isTargetless,
  };
}

function portParts(mode: string, service: Service, context: Context): Part[] {
  const { name, at } = context;
  for (const unused of ["http_filter", "ignore_ports"] as const)
    if (service[unused] !== undefined)
      throw new Mistake(
        `${at(unused)}: "services.${name}.${unused}" is for programs in a pod's place, not for ${mode}: ${mode === "mesh" ? "say header, version_mark or path_prefix" : "it takes all"}`,
      );
  const { target, isTargetless, namespace } = targetOf(service);
  const each = (flag: string, values: readonly string[] = []): string[] =>
    values.flatMap((value) => [flag, value]);
  const session: Part = {
    service: name,
    kind: "session",
    words: [
      mode,
      ...(mode === "forward"
        ? ["-t", isTargetless ? "targetless" : (target ?? `service/${name}`)]
        : [target ?? name]),
      ...each("--expose", service.expose),
      ...each("--header", service.header),
      ...each("--version-mark", service.version_mark === undefined ? [] : [service.version_mark]),
      ...each("--path-prefix", service.path_prefix),
      ...(service.external === true ? ["--external"] : []),
      ...each("-L", service.local),
      ...each("-R", service.remote),
      ...placeWords(service, namespace, context),
    ],
    patch: patchOf(service, context, {}),
    directory: undefined,
    variables: {},
    isInferred: false,
  };
  const command = commandOf(service);
  if (command === undefined) return [session];
  const { override, ...others } = service.env ?? {};
  const [other] = Object.keys(others);
  if (other !== undefined)
    throw new Mistake(
      `${at("env")}: "services.${name}.env.${other}" is for programs in a pod's place; beside ${mode} a program has this machine's variables, and those of env.override`,
    );
  return [
    session,
    {
      ...{ service: name, kind: "program", words: command, patch: {}, isInferred: false },
      directory: service.directory,
      variables: Object.fromEntries(
        Object.entries(Object(override) as object).map(([key, value]) => [key, String(value)]),
      ),
    },
  ];
}

function targetOf({ target, namespace }: Service) {
  const path = typeof target === "string" ? target : target?.path;
  const isTargetless = path === "none" || path === "targetless";
  const inner = typeof target === "object" ? target.namespace : undefined;
  return { target: path, isTargetless, namespace: namespace ?? inner };
}

function placeWords(service: Service, own: string | undefined, context: Context): string[] {
  const { common, hasSaidYes, isVerbose } = context;
  const namespace = context.namespace ?? own ?? common.namespace;
  const cluster = context.context ?? service.context ?? common.context;
  const kubeconfig = context.kubeconfig ?? service.kubeconfig ?? common.kubeconfig;
  const config = service.config ?? common.config;
  return [
    ...(namespace === undefined ? [] : ["-n", namespace]),
    ...(cluster === undefined ? [] : ["--context", cluster]),
    ...(kubeconfig === undefined ? [] : ["--kubeconfig", kubeconfig]),
    ...(config === undefined ? [] : ["-f", config]),
    ...(common.accept_invalid_certificates === true ? ["-c"] : []),
    ...(hasSaidYes ? ["-y"] : []),
    ...(isVerbose ? ["-v"] : []),
  ];
}

/** What the file says by keys of its own goes over what it has as a configuration's. */
const patchOf = (service: Service, { common }: Context, own: object): Record<string, unknown> =>
  merged(merged(common.config_patch ?? {}, service.config_patch ?? {}), own) as Record<
    string,
    unknown
  >;

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

export const unknownService = (name: string, meant: string | undefined): UserError =>
  new UserError("USAGE_INVALID", `no service "${name}" in the file`, {
    hints: meant === undefined ? [] : [`did you mean ${meant}?`],
  });
