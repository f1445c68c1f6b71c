/** Pods that have next to nothing, beside the sandbox's own: in its namespaces, each with a root of its own. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sandbox } from "@inpod/sandbox";
import { until } from "./exec-support.ts";

/**
 * `empty`: FROM scratch, with what kubelet and the runtime put into every container. `distroless`: certificates, time
 * zones and users, no shell, no library. `twin`: a shell with its directories, and wherever the developer has a project
 * the pod has one of the same name, with other contents.
 */
export const POD_KINDS = ["empty", "distroless", "twin"] as const;
export type PodKind = (typeof POD_KINDS)[number];

/** Takes the sandbox's root away, which lies over its own, and waits: no other program is there to do it. */
const PAUSE = `#include <sys/mount.h>
#include <unistd.h>
int main(void) {
  if (umount2(".", MNT_DETACH) || chdir("/")) return 1;
  for (;;) pause();
}
`;

/** Arguments: kind, the program that waits, what the twin has. In the sandbox's pod; its own /usr has the tools. */
const BOOT = `set -eu
kind=$1 pause=$2 twins=$3
root=/tmp/root-of-$kind
mkdir $root
mount -t tmpfs -o mode=755 $kind $root
cd $root
mkdir -p dev etc proc run/secrets/kubernetes.io/serviceaccount sys var
ln -s ../run var/run
mount --rbind /proc proc
cp /etc/resolv.conf /etc/hosts /etc/hostname etc
echo token >run/secrets/kubernetes.io/serviceaccount/token
cp "$pause" pause
case $kind in
distroless)
  mkdir -p etc/ssl/certs home/nonroot tmp usr/share/zoneinfo usr/lib/os-release.d root
  echo "not a certificate" >etc/ssl/certs/ca-certificates.crt
  echo "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin" >etc/passwd
  echo "the pod's" >usr/share/zoneinfo/UTC
  ;;
twin)
  mkdir -p bin usr/bin usr/sbin usr/lib lib64 home root srv data tmp var/lib var/tmp workspaces opt
  for name in sh ls cat env node python3 java go; do ln -s /pause bin/$name; done
  echo "root:x:0:0:root:/root:/bin/sh" >etc/passwd
  for twin in usr/lib/libc.so.6 home/.python-version root/.npmrc root/.cargo root/.pyenv $twins; do
    mkdir -p "$(dirname $twin)"
    echo "the pod's" >$twin
  done
  ;;
esac
pivot_root . .
exec ./pause $kind`;

/**
 * Starts one and gives its pid, as the machine knows it. It ends with the sandbox.
 *
 * @param twins files of the twin's, without blanks in their names
 */
export async function startOtherPod(
  sandbox: Sandbox,
  kind: PodKind,
  folder: string,
  twins: readonly string[],
): Promise<number> {
  const source = join(folder, "pause.c");
  const program = join(folder, "pause");
  writeFileSync(source, PAUSE);
  execFileSync("cc", ["-static", "-o", program, source]);
  const inside = await sandbox.copyIntoPod(program);
  const child = sandbox.inPod(
    [
      "unshare",
      "--mount",
      "sh",
      "-c",
      BOOT,
      "boot",
      kind,
      inside,
      twins.map((path) => `.${path}`).join(" "),
    ],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  let pid = 0;
  await until(`a pod of the kind ${kind} runs ${said}`, async () => {
    if (child.exitCode !== null) throw new Error(`a pod of the kind ${kind} has ended: ${said}`);
    const found = (await sandbox.processes()).find(({ command }) => command === `./pause ${kind}`);
    pid = found?.pid ?? 0;
    return found !== undefined;
  });
  return pid;
}
