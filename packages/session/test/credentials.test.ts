/** Whose identity the program has: the pod's, unless the developer lends it his own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CREDENTIAL_KINDS, CREDENTIALS, credentialVariables } from "../src/credentials.ts";
import { applyEnvironment, chooseEnvironment } from "../src/environment.ts";

const HIDDEN = {
  aws: ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_CONFIG_FILE"],
  azure: ["AZURE_CLIENT_SECRET", "AZURE_CONFIG_DIR", "ARM_CLIENT_ID", "IDENTITY_ENDPOINT"],
  gcp: ["GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"],
  kubernetes: ["KUBECONFIG"],
} as const;
const KEPT = [
  ...[
    "AWSOME",
    "aws_profile",
    "MY_AWS_KEY",
    "ARMOUR",
    "ARM_ARCH",
    "CLOUDSDK_PYTHON",
    "GOOGLE_API_KEY",
  ],
  ...[
    "KUBERNETES_SERVICE_HOST",
    "DOCKER_CONFIG",
    "PATH",
    "OPENAI_API_KEY",
    ...["AWS_CA_BUNDLE", "AZURE_CORE_OUTPUT", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"],
  ],
];

test("the variables of every cloud are hidden, and nothing that only looks like one", () => {
  const all = Object.values(HIDDEN).flat();
  assert.deepEqual(credentialVariables([...all, ...KEPT], []), all);
  assert.deepEqual(credentialVariables([...all, ...KEPT], CREDENTIAL_KINDS), []);
});

for (const kind of CREDENTIAL_KINDS)
  test(`${kind}: named, it is the program's, and the others are not`, () => {
    const hidden = credentialVariables(Object.values(HIDDEN).flat(), [kind]);
    for (const name of HIDDEN[kind]) assert.ok(!hidden.includes(name), name);
    const others = CREDENTIAL_KINDS.filter((each) => each !== kind);
    for (const other of others) for (const name of HIDDEN[other]) assert.ok(hidden.includes(name));
    assert.ok(CREDENTIALS[kind].belowHome.length > 0);
  });

test("what the pod sets under such a name the program gets, what the developer has it does not", () => {
  const chosen = chooseEnvironment(
    { isEnabled: true, mapping: [], override: [["AWS_PROFILE", "asked for"]], unset: [] },
    [["AWS_REGION", "the pod's"]],
  );
  const own = { AWS_REGION: "mine", AWS_PROFILE: "mine", AWS_SECRET_ACCESS_KEY: "mine", A: "1" };
  const hidden = credentialVariables(Object.keys(own), []);
  assert.deepEqual(applyEnvironment(chosen, own, hidden), {
    A: "1",
    AWS_REGION: "the pod's",
    AWS_PROFILE: "asked for",
  });
});
