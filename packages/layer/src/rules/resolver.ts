/** Of the files by which a program's own resolver becomes the pod's, the one that is not the pod's. */
import type { ByteString } from "@inpod/protocol";

/**
 * The developer's nsswitch.conf(5) with host names looked up in /etc/hosts and by DNS only: the
 * other sources (resolve, mymachines, mdns, sss) ask daemons of the developer's machine over
 * unix sockets. Users, groups and all else stay as they are, byte for byte.
 */
export function nsswitchWithPodHosts(localNsswitch: ByteString): ByteString {
  const hosts = "hosts: files dns";
  // Every such line is changed: which of two a libc believes is its own affair.
  const changed = localNsswitch.replace(/^[ \t]*hosts[ \t]*:[^\n]*/gm, hosts);
  if (/^hosts: files dns$/m.test(changed)) return changed;
  const isComplete = localNsswitch === "" || localNsswitch.endsWith("\n");
  return `${localNsswitch}${isComplete ? "" : "\n"}${hosts}\n`;
}
