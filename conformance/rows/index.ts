/** All rows, in the table's order. */
import type { Group } from "../row.ts";
import { debuggedGroups } from "./debuggers.ts";
import { dotnetGroup } from "./dotnet.ts";
import { erlangGroup } from "./erlang.ts";
import { gradleGroup } from "./gradle.ts";
import { javascriptGroups } from "./javascript.ts";
import { machineGroups } from "./machine.ts";
import { postgresGroup } from "./postgres.ts";
import { redisGroup } from "./redis.ts";
import { watchers } from "./watchers.ts";
import { phpGroup, pythonWeb, ruby } from "./web.ts";

export const groups: readonly Group[] = [
  ...machineGroups,
  ...javascriptGroups,
  pythonWeb,
  ruby,
  phpGroup,
  erlangGroup,
  dotnetGroup,
  redisGroup,
  postgresGroup,
  ...debuggedGroups,
  watchers,
  gradleGroup,
];
