/** Who the developer is, for others in the cluster. */
import { userInfo } from "node:os";

/** The name of the login; in a container without one, what the environment says. */
export function developerName({ USER, LOGNAME, USERNAME }: NodeJS.ProcessEnv): string {
  try {
    const { username } = userInfo();
    if (username !== "") return username;
  } catch {
    // An id that no line of /etc/passwd has.
  }
  return USER || LOGNAME || USERNAME || "somebody";
}
