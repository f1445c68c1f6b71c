/** Programs that are not, or not wholly, in the pod's place: told once for each, with what to do. */
import type { ProgramLimit, TapEvent } from "@inpod/tap";
import type { Notice } from "./config.ts";

type Limited = Extract<TapEvent, { kind: "limited" }>;

export function limitedNotice({ program, why }: Limited): Notice {
  return { key: `limited ${why} ${program}`, text: `${program} ${limitText(why)}` };
}

/** no_new_privs comes with a filter that an ordinary user installs (seccomp(2)); with root's it does not. */
const OWN_RIGHTS =
  "under inpod it runs with your own rights (no_new_privs), and may fail: run it outside of inpod exec, or inpod itself as root";

function limitText(why: ProgramLimit): string {
  switch (why) {
    case "setuid":
      return `is a setuid or setgid program: ${OWN_RIGHTS}`;
    case "capabilities":
      return `has file capabilities: ${OWN_RIGHTS}`;
    case "closed":
      return "may not be looked into (its file cannot be read, it has made itself undumpable, or it is another user's): it goes on as without inpod, with this machine's network and files; inpod as root could";
    case "listener":
      return "asked to watch system calls by itself (a seccomp listener), and is told EBUSY, because inpod watches them: run it outside of inpod exec, or without that (of a container engine: without a seccomp agent)";
    case "messages":
      return `has a UDP socket at a descriptor below 900 or above 1023, or more of them than these numbers: calls with messages (sendmsg, recvmmsg) about it are not seen, send from this machine and show 127.0.0.1 as the sender; sendto, recvfrom and connected sockets are as in the pod`;
    case "32-bit":
      return "is a 32-bit program, and inpod does not see the system calls of those here: it goes on as without inpod, with this machine's network and files";
  }
}
