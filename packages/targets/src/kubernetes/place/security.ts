/** What an agent's container may do, as a pod's spec says it. Pure. */
import type { V1SecurityContext } from "@kubernetes/client-node";
import { type AgentPlacement, CAPABILITIES, type SecurityProfile } from "./placement.ts";

/** @param disabled capabilities that it does without */
export function rightsOf(
  { privileged }: AgentPlacement,
  disabled: readonly string[],
): V1SecurityContext {
  if (privileged === true) return { privileged };
  return {
    capabilities: {
      drop: ["ALL"],
      add: CAPABILITIES.filter((each) => !disabled.includes(each)),
    },
    seccompProfile: { type: "RuntimeDefault" },
    // The usual profile lets a process look only at those under the same one.
    appArmorProfile: { type: "Unconfined" },
    seLinuxOptions: { type: "spc_t" },
  };
}

/** What the user has written instead. */
export const profilesOf = ({ securityContext }: AgentPlacement): V1SecurityContext => ({
  ...profile("seccompProfile", securityContext?.seccompProfile),
  ...profile("appArmorProfile", securityContext?.appArmorProfile),
});

const profile = (
  key: "seccompProfile" | "appArmorProfile",
  written: SecurityProfile | undefined,
): V1SecurityContext => {
  if (written === undefined) return {};
  const { type, localhostProfile } = written;
  return { [key]: { type, ...(localhostProfile === undefined ? {} : { localhostProfile }) } };
};
