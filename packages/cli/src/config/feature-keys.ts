/** The keys below `feature`: what of the pod the program gets. Those of the network have a file of their own. */
import { CREDENTIAL_KINDS } from "@inpod/session";
import * as z from "zod";
import { noEffect, notYet, refused, works } from "./keys.ts";
import { network } from "./network-keys.ts";
import {
  flag,
  flagOrObject,
  flagOrWords,
  orFlag,
  regex,
  regexes,
  section,
  shortOr,
  text,
  variableNames,
  words,
} from "./values.ts";

const value = z.string({ error: "a string (write it in quotes)" });
const env = section({
  include: works(variableNames, "only these variables of the pod; * and ? stand for any letters"),
  exclude: works(
    variableNames,
    "not these variables of the pod; include and exclude exclude each other",
  ),
  override: works(z.record(z.string(), value), "variables with the values they get"),
  mapping: works(
    z.record(regex(false), value),
    "expressions for names, and the value for variables whose name matches",
  ),
  unset: works(variableNames, "variables that the program does not get"),
  env_file: works(text, "file with more variables, NAME=value in each line"),
  load_from_process: noEffect(
    "whether each process asks for the variables itself",
    "the program has them from its start",
    "boolean",
  ),
}).refine(({ include, exclude }) => include === undefined || exclude === undefined, {
  error: "include or exclude, not both",
});

const FS_MODES = ["local", "localwithoverrides", "read", "write"] as const;
const fs = section({
  mode: works(
    words(FS_MODES),
    "whose file a path is that no list names: read is the pod's when reading, write when writing too, localwithoverrides and local are this machine's",
  ),
  read_only: works(regexes, "expressions for paths that are the pod's when reading"),
  read_write: works(regexes, "expressions for paths that are the pod's when writing too"),
  local: works(regexes, "expressions for paths that are this machine's"),
  not_found: works(regexes, "expressions for paths that are not there"),
  mapping: works(
    z.record(regex(true), z.string({ error: "a string" })),
    "expressions for paths, and what takes their place before anything is decided",
  ),
  fallback: works(
    flag,
    "whether a path that only the mode gives to the pod, and that is not there, is read from this machine",
  ),
  readonly_file_buffer: noEffect(
    "bytes that are read ahead",
    "files come whole, or in pieces of inpod's own choice",
    "integer",
  ),
});

const NO_COPIES = "copies of the target are made by mirrord's operator, which inpod does not have";
const copyTarget = section({
  enabled: refused("whether a copy of the target is made", NO_COPIES, { type: "boolean" }),
  scale_down: refused("whether the target is scaled to zero meanwhile", NO_COPIES, {
    type: "boolean",
  }),
  exclude_containers: refused("containers that the copy does not have", NO_COPIES, {
    type: "list of string",
  }),
  exclude_init_containers: refused("init containers that the copy does not have", NO_COPIES, {
    type: "list of string",
  }),
});
const off = z.union([z.literal(false), z.looseObject({ enabled: z.literal(false) })]);

export const feature = section({
  env: works(shortOr(flagOrObject, env), "the pod's variables; false: none of them"),
  local_credentials: works(
    flagOrWords(CREDENTIAL_KINDS),
    "credentials of yours that the program may use, variables and files below your home; true: all of them",
  ),
  fs: works(
    shortOr(orFlag(FS_MODES), fs),
    "the pod's files; a word is the mode, true is read, false is local",
  ),
  hostname: works(flag, "whether the program's host name is the pod's"),
  network: works(shortOr(flagOrObject, network), "the pod's network; false: none of it"),
  magic: works(
    section({
      aws: works(
        flag,
        "whether your AWS credentials are hidden; false is `aws` in feature.local_credentials",
        { into: "feature.local_credentials" },
      ),
      auto_mount: works(
        flag,
        "whether files in the container's volumes are the pod's in every mode but local",
      ),
      turbo: notYet("whether loopback stays local for Next.js", {
        harmless: z.literal(false),
        type: "boolean",
      }),
    }),
    "what is done for certain programs",
  ),
  copy_target: refused("a copy of the target in its place", NO_COPIES, {
    schema: shortOr(flagOrObject, copyTarget),
    harmless: off,
  }),
  split_queues: refused(
    "a share of a queue's messages",
    "queues are split by mirrord's operator, which inpod does not have",
  ),
  db_branches: refused(
    "a database branched for the session",
    "branches of databases are made by mirrord's operator, which inpod does not have",
  ),
  preview: refused(
    "an environment of its own in the cluster",
    "preview environments are made by mirrord's operator, which inpod does not have",
  ),
});
