/** Kinds of values that Kubernetes checks as well: judged here, so that the answer names the key and comes before a cluster is asked. */
import * as z from "zod";
import { count, list, section, text, words } from "./values.ts";

/** RFC 1123 label, as the API server checks a namespace. */
const WHAT_DNS_LABEL = "a name of up to 63 small letters, digits and -";
export const dnsLabel = z
  .string({ error: WHAT_DNS_LABEL })
  .regex(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/, { error: WHAT_DNS_LABEL });

/** RFC 1123 subdomain, for what most other objects are called. */
const WHAT_OBJECT_NAME = "a name of up to 253 small letters, digits, - and .";
const SUBDOMAIN = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*";
export const objectName = z
  .string({ error: WHAT_OBJECT_NAME })
  .max(253, { error: WHAT_OBJECT_NAME })
  .regex(new RegExp(`^${SUBDOMAIN}$`), { error: WHAT_OBJECT_NAME });

/** Of a label, an annotation or a taint: a short name with an optional domain before it. */
const WHAT_QUALIFIED =
  "a name of up to 63 letters, digits, -, _ and ., perhaps after a domain and /";
const LABEL = "[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?";
const qualifiedName = z
  .string({ error: WHAT_QUALIFIED })
  .max(253 + 1 + 63, { error: WHAT_QUALIFIED })
  .regex(new RegExp(`^(?:${SUBDOMAIN}/)?${LABEL}$`), { error: WHAT_QUALIFIED });

const WHAT_LABEL_VALUE =
  "a label's value: up to 63 letters, digits, -, _ and . that begin and end with a letter or digit";
const labelValue = z
  .string({ error: WHAT_LABEL_VALUE })
  .regex(new RegExp(`^(?:${LABEL})?$`), { error: WHAT_LABEL_VALUE });

const WHAT_KEY = `${WHAT_LABEL_VALUE} (made of a branch: {{ git_branch | slugify }})`;
/** A label's value too, and not empty. */
export const sessionKey = z
  .string({ error: WHAT_KEY })
  .regex(new RegExp(`^${LABEL}$`), { error: WHAT_KEY });

export const labels = z.record(qualifiedName, labelValue, {
  error: "an object of labels and their values",
});

/** Bytes of all annotations of an object together (TotalAnnotationSizeLimitB of Kubernetes). */
const MAX_ANNOTATIONS = 256 * 1024;
export const annotations = z
  .record(qualifiedName, z.string({ error: "a string (write it in quotes)" }), {
    error: "an object of annotations and their values",
  })
  .refine((all) => JSON.stringify(all).length <= MAX_ANNOTATIONS, {
    error: `annotations of up to ${MAX_ANNOTATIONS} bytes together`,
  });

/** resource.Quantity without a sign: less than nothing is nobody's request. */
const WHAT_QUANTITY = 'a quantity as Kubernetes writes it, for instance "100m", "1", "64Mi"';
const QUANTITY =
  /^(?:\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?$/;
const quantity = z
  .union(
    [
      z.string().regex(QUANTITY, { error: WHAT_QUANTITY }),
      z.number().min(0, { error: WHAT_QUANTITY }).max(1e18, { error: WHAT_QUANTITY }),
    ],
    { error: WHAT_QUANTITY },
  )
  .transform(String);
export const quantities = z.record(qualifiedName, quantity, {
  error: "an object of resources and their quantities",
});

/** Spelled as in a pod's spec. */
const toleration = section({
  key: qualifiedName.optional(),
  operator: words(["Equal", "Exists"]).optional(),
  value: labelValue.optional(),
  effect: words(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
  tolerationSeconds: count(0, 2 ** 31 - 1, "of seconds").optional(),
})
  .refine(({ key, operator }) => key !== undefined || operator === "Exists", {
    error: 'a toleration with a key, or with the operator "Exists" (which then means every taint)',
  })
  .refine(({ operator, value }) => operator !== "Exists" || value === undefined, {
    error: 'a toleration without a value where the operator is "Exists"',
  })
  .refine(
    ({ effect, tolerationSeconds }) => tolerationSeconds === undefined || effect === "NoExecute",
    { error: 'a toleration with tolerationSeconds only where the effect is "NoExecute"' },
  );
export const tolerations = list(toleration, "tolerations");

/** `{ "name": "registry" }` as in a pod's spec, or just the name. */
export const pullSecrets = list(
  z
    .union([objectName, z.strictObject({ name: objectName })], {
      error: 'the name of a Secret, or {"name": NAME}',
    })
    .transform((secret) => (typeof secret === "string" ? secret : secret.name)),
  "names of Secrets",
);

/** seccompProfile and appArmorProfile have the same shape; a file of the node belongs to "Localhost" alone. */
export const profile = section({
  type: words(["RuntimeDefault", "Unconfined", "Localhost"]),
  localhostProfile: text.optional(),
}).refine(
  ({ type, localhostProfile }) => (type === "Localhost") === (localhostProfile !== undefined),
  { error: 'a profile with localhostProfile where the type is "Localhost", and only there' },
);
