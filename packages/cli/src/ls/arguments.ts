/** The words of `inpod ls`. */
import { nearest, UserError } from "@inpod/protocol";
import type { ListedKind } from "@inpod/targets";
import { kindOf, WORKLOADS } from "@inpod/targets/path";
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { LS_EXAMPLES, LS_WHAT } from "../text/help.ts";

export interface LsArguments extends PlaceArguments {
  readonly kind: "ls";
  /** Undefined: all. */
  readonly kinds: readonly ListedKind[] | undefined;
  /** A line for each container, and not for its pod. */
  readonly areContainersWanted: boolean;
  readonly isEverywhere: boolean;
  readonly labelSelector: string | undefined;
  readonly output: "table" | "json" | "name";
}

export const LS_KINDS = ["pod", ...WORKLOADS, "container"] as const;

export const lsSyntax: CommandSyntax<LsArguments> = {
  define: () =>
    withPlaceFlags(
      new Command("ls")
        .summary("list what can be a target")
        .description(LS_WHAT)
        .usage("[flags] [KIND…]")
        .argument("[kind...]"),
    )
      .option("-A, --all-namespaces", "in every namespace")
      .option("-l, --selector <labels>", "only what has these labels: app=orders,tier!=web")
      .addOption(
        new Option("-o, --output <form>", "table, json, or name: one path in a line")
          .choices(["table", "json", "name"])
          .default("table"),
      )
      .addHelpText("after", LS_EXAMPLES),
  read: (options, operands) => ({
    kind: "ls",
    ...readPlaceFlags(options),
    ...readKinds(operands),
    isEverywhere: options.allNamespaces === true,
    labelSelector: options.selector as string | undefined,
    output: options.output as LsArguments["output"],
  }),
};

/** As kubectl: several words or one with commas, singular, plural or short. */
function readKinds(
  operands: readonly string[],
): Pick<LsArguments, "kinds" | "areContainersWanted"> {
  const words = operands.flatMap((word) => word.split(",")).filter((word) => word !== "");
  const areContainersWanted = words.some((word) => /^containers?$/i.test(word));
  const kinds = words
    .filter((word) => !/^(containers?|all)$/i.test(word))
    .map((word) => kindOf(word) ?? unknownKind(word));
  if (areContainersWanted) return { kinds: ["pod"], areContainersWanted };
  return { kinds: kinds.length === 0 ? undefined : [...new Set(kinds)], areContainersWanted };
}

function unknownKind(word: string): never {
  const meant = nearest(word, LS_KINDS);
  throw new UserError("USAGE_INVALID", `"${word}" is no kind of target`, {
    hints: [
      ...(meant === undefined ? [] : [`did you mean ${meant}?`]),
      `there are: ${LS_KINDS.join(", ")}`,
    ],
  });
}
