/** Whether the pod or a developer has answered, for who wants to see it in each response (`agent.inject_headers`). */
import type { Field } from "./http1/edit-head.ts";

/** In lower case, as HTTP/2 wants it; HTTP/1 does not mind. */
const NAME = "inpod-answered-by";

export const answeredBy = (who: "pod" | "developer"): Field => ({ name: NAME, value: who });
