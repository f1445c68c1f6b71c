/** Erlang: sockets and files of a runtime of its own, and two ways to names, of which one is a child process. */
import { fromSystem } from "../install.ts";
import { followedBy, type Group, program, simple } from "../row.ts";

const VERSION = ["erl", "-noshell", "-eval"];
const SAY = 'io:format("~s~n", [erlang:system_info(version)]), halt().';

export const erlangGroup: Group = {
  rows: [
    simple({
      name: "Erlang",
      tool: async () =>
        followedBy(
          await fromSystem(["erlang-base"], ["escript"], [...VERSION, SAY]),
          program("facts.escript"),
        ),
    }),
  ],
};
