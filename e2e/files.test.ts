/** The pod's files in a local program, on a real cluster: followed, rotated, swapped, cut off, and without FUSE. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { MOUNTING, refusing } from "../packages/cli/test/refusing.ts";
import { layCable } from "./support/cable.ts";
import { imageOfFiles } from "./support/images.ts";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, NODE_IMAGE, runNodePod } from "./support/pods.ts";

/** Appends a line every 200 ms to the log that it has open, and opens it anew once another file has its name. */
const APP = `
const fs = require("fs");
const LOG = "/var/audit-logs/audit.log";
let fd = fs.openSync(LOG, "a", 0o644), n = 0;
setInterval(() => {
  const now = fs.statSync(LOG, { throwIfNoEntry: false });
  if (now && now.ino !== fs.fstatSync(fd).ino) { fs.closeSync(fd); fd = fs.openSync(LOG, "a"); }
  fs.writeSync(fd, JSON.stringify({ from: "app", n: ++n, time: Date.now() }) + "\\n");
}, 200);
process.on("SIGTERM", () => process.exit(0));`;

/** Ships each line of the log as it comes, and rotates it three times. */
const SHIPPER = `package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const log = "/var/audit-logs/audit.log"

var collector = os.Args[1]
var token string

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "shipper:", err)
		os.Exit(1)
	}
}

func ship(line string) {
	request, err := http.NewRequest("POST", collector, strings.NewReader(line))
	must(err)
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	must(err)
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		must(fmt.Errorf("the collector says %s", answer.Status))
	}
}

// Ships whole lines of one file as they come.
type follower struct {
	file *os.File
	rest []byte
}

func (f *follower) more() (lines []string) {
	chunk := make([]byte, 64*1024)
	for {
		n, err := f.file.Read(chunk)
		f.rest = append(f.rest, chunk[:n]...)
		if err == io.EOF || n == 0 {
			break
		}
		must(err)
	}
	for {
		end := bytes.IndexByte(f.rest, '\\n')
		if end < 0 {
			return lines
		}
		lines = append(lines, string(f.rest[:end]))
		f.rest = f.rest[end+1:]
	}
}

func hasLineOfApp(name string) bool {
	file, err := os.Open(name)
	must(err)
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var line struct{ From string }
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.From == "app" {
			return true
		}
	}
	return false
}

func main() {
	answer, err := http.Get("http://" + os.Args[2] + "/latest/meta-data/iam/security-credentials/role")
	must(err)
	var credentials struct{ Token string }
	must(json.NewDecoder(answer.Body).Decode(&credentials))
	token = credentials.Token

	file, err := os.Open(log)
	must(err)
	now := &follower{file: file}
	shipped := 0
	for rotation := 1; rotation <= 3; rotation++ {
		for shipped < rotation*5 {
			for _, line := range now.more() {
				ship(line)
				shipped++
			}
			time.Sleep(20 * time.Millisecond)
		}
		old := fmt.Sprintf("%s.%d", log, rotation)
		must(os.Rename(log, old))
		next, err := os.OpenFile(log, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
		must(err)
		_, err = fmt.Fprintf(next, "{\\"from\\":\\"shipper\\",\\"n\\":%d}\\n", rotation)
		must(err)
		must(next.Close())
		for !hasLineOfApp(log) {
			for _, line := range now.more() {
				ship(line)
				shipped++
			}
			time.Sleep(20 * time.Millisecond)
		}
		// The app has let go of the old one: what is in it is all there will be.
		for _, line := range now.more() {
			ship(line)
			shipped++
		}
		must(now.file.Close())
		must(os.Remove(old))
		file, err := os.Open(log)
		must(err)
		now = &follower{file: file}
	}
	for _, line := range now.more() {
		ship(line)
		shipped++
	}
	fmt.Println("shipped", shipped)
}
`;

/** Says what the file says, each time that is another thing; and each errno once. */
const WATCHER = `
const fs = require("fs");
let said;
const look = () => {
  let now;
  try { now = fs.readFileSync(process.argv[2], "utf8").trim(); } catch (error) { now = error.code ?? "errno " + error.errno; }
  if (now !== said) console.log("file:", now);
  said = now;
};
look();
console.log("watching");
setInterval(look, 50);`;

/** Reads a large file again and again, never from this machine's cache; says how a pass ended, and whether a call took longer than one may: a pass is many. */
const READER = `
import errno, hashlib, os, sys, time
print("reading", flush=True)
longest = 0
def timed(call, *words):
    global longest
    since = time.monotonic()
    try: return call(*words)
    finally: longest = max(longest, time.monotonic() - since)
while True:
    longest, digest = 0, hashlib.sha256()
    try:
        fd = timed(os.open, sys.argv[1], os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            while chunk := timed(os.read, fd, 256 * 1024): digest.update(chunk)
            end = "whole " + digest.hexdigest()[:16]
        finally: os.close(fd)
    except OSError as error: end = errno.errorcode[error.errno]
    print("pass", end, "LATE" if longest > 15 else "in time", flush=True)
    time.sleep(0.1)
`;

const LARGE_BYTES = 48 * 1024 * 1024;

describe("the pod's files on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-files");
  const folder = mkdtempSync(join(tmpdir(), "inpod-files-"));
  let found: string[] = [];
  let metadata = "";
  let collector: Server;
  let collectorUrl = "";
  let collected: { from: string; n: number }[] = [];
  let refused = 0;

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    const volume = { name: "logs", mountPath: "/var/audit-logs" };
    const node = (source: string) => ({
      image: NODE_IMAGE,
      command: [process.execPath, "-e", source],
    });
    await apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace },
      data: { colour: "one" },
    });
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "test", namespace },
      spec: {
        terminationGracePeriodSeconds: 0,
        volumes: [
          { name: "logs", emptyDir: {} },
          { name: "settings", configMap: { name: "settings" } },
          { name: "large", emptyDir: {} },
        ],
        containers: [
          { name: "app", ...node(APP), volumeMounts: [volume] },
          {
            name: "dummy",
            image: BUSYBOX,
            command: [
              "sh",
              "-c",
              // Each life of the container has a file of its own that tells which it is.
              `echo life >> /large/lives; wc -l < /large/lives > /life
               [ -e /large/file ] || dd if=/dev/urandom of=/large/file bs=1M count=${LARGE_BYTES / 1024 / 1024}
               while [ ! -e /large/end ]; do sleep 0.2; done; rm /large/end`,
            ],
            volumeMounts: [
              volume,
              { name: "settings", mountPath: "/etc/settings" },
              { name: "large", mountPath: "/large" },
            ],
          },
        ],
      },
    });
    const credentials = JSON.stringify({ AccessKeyId: "test-key", Token: "test-token" });
    await runNodePod({
      namespace,
      name: "metadata",
      source: `require("http").createServer((q, r) => r.end(${JSON.stringify(credentials)})).listen(80)`,
    });
    await kubectl("wait", "--for=condition=Ready", "pod/test", "-n", namespace, "--timeout=60s");
    // Stands for 169.254.169.254, which may be a real service on the machine that runs this.
    metadata = await kubectl(
      ...["get", "pod", "metadata", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    await waitFor("the large file to be whole", async () =>
      (await inPod("stat", "-c", "%s", "/large/file")).trim() === String(LARGE_BYTES)
        ? true
        : undefined,
    );
    collector = createServer(async (request, response) => {
      let text = "";
      for await (const chunk of request) text += String(chunk);
      if (request.headers.authorization === "Bearer test-token") collected.push(JSON.parse(text));
      else refused++;
      response.end();
    }).listen(0, "127.0.0.1");
    await once(collector, "listening");
    collectorUrl = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`;
    writeFileSync(join(folder, "watcher.js"), WATCHER);
    writeFileSync(join(folder, "reader.py"), READER);
    found = await inventory(namespace);
  });
  after(() => {
    collector.close();
    rmSync(folder, { recursive: true });
  });

  const inPod = (...command: string[]): Promise<string> =>
    kubectl("exec", "test", "-c", "dummy", "-n", namespace, "--", ...command);

  const running: Running[] = [];
  afterEach(async () => {
    // What a failed test has left must not be in the way of the next.
    for (const { child, done } of running.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      process.kill(-(child.pid as number), "SIGINT");
      await done;
    }
    await untilInventoryIs(namespace, found);
  });

  function start(
    command: readonly string[],
    options: { config?: object; kubeconfig?: string; through?: readonly string[] } = {},
  ): Running {
    const file = join(folder, `inpod-${Math.random().toString(36).slice(2)}.json`);
    writeFileSync(file, JSON.stringify({ feature: { fs: "read" }, ...options.config }));
    const target = ["-t", "pod/test/container/dummy", "-n", namespace];
    const inpod = startInpod(["exec", ...target, "-f", file, "--", ...command], {
      cwd: folder,
      timeoutMs: 300_000,
      ...(options.kubeconfig === undefined ? {} : { env: { KUBECONFIG: options.kubeconfig } }),
      ...(options.through === undefined ? {} : { through: options.through }),
    });
    running.push(inpod);
    return inpod;
  }

  /** Two more passes over the whole file: the first may have begun before. */
  async function goesOn(inpod: Running): Promise<void> {
    const whole = (): number => inpod.output().match(/pass whole/g)?.length ?? 0;
    const before = whole();
    await waitFor(
      "two more passes",
      async () => (whole() >= before + 2 ? true : undefined),
      60_000,
    );
  }

  test("a program run by `go run` follows, rotates and ships an audit log: no line is lost or doubled", async () => {
    collected = [];
    const project = join(folder, "shipper");
    mkdirSync(join(project, ".inpod"), { recursive: true });
    writeFileSync(
      join(project, ".inpod", "inpod.json"),
      JSON.stringify({
        target: { path: "pod/test/container/dummy", namespace },
        feature: {
          env: true,
          network: { outgoing: { filter: { remote: [metadata] } } },
          fs: { mode: "write", read_write: ["/var/audit-logs/audit.log"] },
        },
      }),
    );
    writeFileSync(join(project, "go.mod"), "module shipper\n\ngo 1.21\n");
    writeFileSync(join(project, "main.go"), SHIPPER);
    const ran = await runInpod(["exec", "--", "go", "run", "main.go", collectorUrl, metadata], {
      cwd: project,
      timeoutMs: 180_000,
    });
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stdout, `shipped ${collected.length}\n`, ran.stderr);
    assert.equal(refused, 0, "lines that came without the pod's credentials");
    const ofApp = collected.filter(({ from }) => from === "app").map(({ n }) => n);
    assert.deepEqual(
      ofApp,
      ofApp.map((_, index) => index + 1),
      "every line of the app's once, in its order",
    );
    const own = collected.filter(({ from }) => from === "shipper").map(({ n }) => n);
    assert.deepEqual(own, [1, 2, 3]);
    assert.equal((await inPod("ls", "/var/audit-logs")).trim(), "audit.log");
  });

  test("a ConfigMap that is changed is seen as the pod sees it", async () => {
    const inpod = start(["node", "watcher.js", "/etc/settings/colour"]);
    await inpod.says(/file: one\nwatching/);
    const patch = JSON.stringify({ data: { colour: "two" } });
    await kubectl("patch", "configmap", "settings", "-n", namespace, "-p", patch);
    // The kubelet looks at once, and not only after a minute.
    await waitFor(
      "the pod to see it",
      async () => {
        await kubectl(
          ...["annotate", "pod", "test", "-n", namespace, "--overwrite", `look=${Date.now()}`],
        );
        return (await inPod("cat", "/etc/settings/colour")) === "two" ? true : undefined;
      },
      90_000,
      1000,
    );
    await inpod.says(/file: two/);
    assert.doesNotMatch(inpod.output(), /ENOENT|EIO|ESTALE/);
  });

  test("`tail -f` of a growing log says each line, in order", async () => {
    await inPod("sh", "-c", "echo line 1 > /large/log");
    const inpod = start(["tail", "-n", "+1", "-f", "/large/log"]);
    await inpod.says(/line 1\n/);
    for (let n = 2; n <= 5; n++) {
      await inPod("sh", "-c", `echo line ${n} >> /large/log`);
      await inpod.says(new RegExp(`line ${n}\n`));
    }
    const lines = inpod.output().match(/^line \d+$/gm);
    assert.deepEqual(lines, ["line 1", "line 2", "line 3", "line 4", "line 5"]);
  });

  test("a container that is started again: the files are the new one's", async () => {
    const inpod = start(["node", "watcher.js", "/life"]);
    await inpod.says(/file: \d+\nwatching/);
    const before = Number(/file: (\d+)/.exec(inpod.output())?.[1]);
    await inPod("touch", "/large/end");
    await inpod.says(new RegExp(`file: ${before + 1}\n`));
  });

  test("a tunnel that is cut while a file is read: an errno in time, and the whole file when it is back", async () => {
    const cable = await layCable(folder, "cut");
    const inpod = start(["python3", "reader.py", "/large/file"], { kubeconfig: cable.kubeconfig });
    try {
      await inpod.says(/pass whole/);
      cable.reset();
      await inpod.says(/is lost/);
      cable.mend();
      await inpod.says(/is back/);
      await goesOn(inpod);
      assert.doesNotMatch(inpod.output(), /LATE/);
      assert.equal(new Set(inpod.output().match(/whole \w+/g)).size, 1, inpod.output());
      // Over a cable that is there: else its agent would wait a minute for it.
      inpod.interrupt();
      await inpod.done;
    } finally {
      cable.close();
    }
  });

  test("an agent that is killed while a file is read: the next one gives the file", async () => {
    const inpod = start(["python3", "reader.py", "/large/file"]);
    await inpod.says(/pass whole/);
    const selector = "app.kubernetes.io/managed-by=inpod";
    await kubectl(
      ...["delete", "pod", "-n", namespace, "-l", selector, "--grace-period=0", "--force"],
    );
    await inpod.says(/starting another one/);
    await inpod.says(/is back/);
    await goesOn(inpod);
    assert.doesNotMatch(inpod.output(), /LATE/);
    assert.equal(new Set(inpod.output().match(/whole \w+/g)).size, 1, inpod.output());
  });

  test("where nothing can be mounted the files are snapshots: listed, read, followed by their name, not written", async () => {
    const through = [refusing(folder, ...MOUNTING)];
    await inPod("sh", "-c", "mkdir -p /large/d/sub; echo one > /large/d/a; ln -s a /large/d/link");
    const script = `
      ls /large/d; cat /large/d/link; cd /large/d && cat a && pwd
      stat -c %s /large/file; sha256sum < /large/file | cut -c1-16
      echo no > /large/d/new; echo "written: $?"
      cat /large/d/none; true`;
    const config = { feature: { fs: { mode: "write" } } };
    const ran = start(["sh", "-c", script], { config, through });
    const { stdout, stderr } = await ran.done;
    const sum = (await inPod("sha256sum", "/large/file")).slice(0, 16);
    assert.equal(
      stdout,
      `a\nlink\nsub\none\none\n/large/d\n${LARGE_BYTES}\n${sum}\nwritten: 2\n`,
      stderr,
    );
    assert.match(stderr, /snapshot/);
    assert.match(stderr, /[Rr]ead-only file system/);
    assert.match(stderr, /No such file or directory/);

    const watcher = start(["node", "watcher.js", "/large/d/a"], { through });
    await watcher.says(/file: one\nwatching/);
    await inPod("sh", "-c", "echo two > /large/d/a");
    await watcher.says(/file: two/);
  });
});
