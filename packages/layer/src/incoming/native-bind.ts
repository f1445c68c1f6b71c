/**
 * bind(2) that takes no port of the pod. Only the pod has the pod's addresses, so the socket is on loopback instead: what it
 * connects to is the pod's anyway, and from this machine it is reached where it says.
 */
import type { Endpoint } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Tap, TrappedCall } from "@inpod/tap";
import { encodeAddress } from "@inpod/tap";

type BindCall = Extract<TrappedCall, { kind: "bind" }>;

export function bindNatively(
  { tap, session }: { readonly tap: Tap; readonly session: Session },
  call: BindCall,
  to: Endpoint,
): void {
  if (!session.target.addresses.includes(to.address)) {
    tap.continue(call.token);
    return;
  }
  const port = tap.bindSocket(call.token, to.port);
  if (port < 0) tap.reply(call.token, 0, -port);
  else tap.replyBound(call.token, encodeAddress(to.address, port));
}
