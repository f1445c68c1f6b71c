/** Versions as Kubernetes and Linux write them: "v1.31.2-eks-7f9249a", "5.10.226-214.880.amzn2.x86_64". Pure. */
export type MajorMinor = readonly [major: number, minor: number];

export function majorMinor(text: string): MajorMinor | undefined {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : [Number(major), Number(minor)];
}

export const isBefore = (
  [major, minor]: MajorMinor,
  [otherMajor, otherMinor]: MajorMinor,
): boolean => major < otherMajor || (major === otherMajor && minor < otherMinor);
