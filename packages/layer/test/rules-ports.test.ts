import assert from "node:assert/strict";
import { test } from "node:test";
import { debuggerPorts } from "../src/rules/debugger-ports.ts";
import { type BindConfig, decideBind, decideLoopback } from "../src/rules/ports.ts";

for (const [command, expected] of [
  ["node --inspect server.js", [9229]],
  ["node --inspect-brk=9230 server.js", [9230]],
  ["node --inspect=127.0.0.1:9231 server.js", [9231]],
  ["node --inspect-wait=[::1]:9232 server.js", [9232]],
  ["node --inspect=localhost server.js", [9229]],
  ["node --inspect=0 server.js", []],
  ["node --inspect-port=9240 --inspect s.js", [9229, 9240]],
  // SIGUSR1 opens it.
  ["node --inspector server.js", [9229]],
  ["/opt/node/bin/node server.js --port=8080", [9229]],
  ["node --inspect-port=9241 server.js", [9241]],
  ["bun --inspect server.ts", [6499]],
  ["deno run --inspect server.ts", [9229]],
  ["deno run server.ts", []],
  ["java -agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:5005 -jar a.jar", [5005]],
  ["java -agentlib:jdwp=transport=dt_socket,address=127.0.0.1:5006,server=y A", [5006]],
  ["java -Xrunjdwp:transport=dt_socket,server=y,address=8000 A", [8000]],
  ["java -agentlib:jdwp=transport=dt_socket,server=y A", []],
  ["python3 -m debugpy --listen 5678 app.py", [5678]],
  ["python3 -m debugpy --listen=0.0.0.0:5679 --wait-for-client app.py", [5679]],
  ["python3 -m debugpy --connect 127.0.0.1:5680 app.py", [5680]],
  ["python3 /x/debugpy/adapter/../../debugpy/launcher 5683 -- app.py --listen 80", [5683]],
  ["python3 /x/debugpy/adapter --port 5681", [5681]],
  ["python3 app.py --listen 8080", []],
  ["python3 /x/pydevd.py --multiproc --port 5682 --file a.py", [5682]],
  ["dlv debug --headless --listen=:2346 ./cmd", [2346]],
  ["/root/go/bin/dlv exec --headless -l 127.0.0.1:2347 ./x -- --listen=:80", [2347]],
  ["dlv debug --headless ./cmd", []],
  ["dlv debug ./cmd", []],
  ["dlv dap --client-addr=:2348", [2348]],
  ["dlv dap --listen=127.0.0.1:2349 --log-dest=3", [2349]],
  ["node --inspect=99999 s.js", [9229]],
] as const) {
  test(`${command}: debugger ports ${expected.join(", ") || "none"}`, () => {
    assert.deepEqual(debuggerPorts(command.split(" "), {}), expected);
  });
}

for (const [env, expected] of [
  [{ NODE_OPTIONS: "--max-old-space-size=100 --inspect=9233" }, [9233]],
  [{ NODE_OPTIONS: '--require "/x y.js" "--inspect"' }, [9229]],
  [{ JAVA_TOOL_OPTIONS: "-Xmx1g -agentlib:jdwp=server=y,address=0.0.0.0:5007" }, [5007]],
  [{ PYDEVD_PORT: "5008", DEBUGPY_PORT: "x" }, [5008]],
  [{ PORT: "9229" }, []],
] as const) {
  test(`variables ${JSON.stringify(env)}: debugger ports ${expected.join(", ") || "none"}`, () => {
    assert.deepEqual(debuggerPorts(["app"], env), expected);
  });
}

const BIND: BindConfig = {
  mode: "steal",
  ignorePorts: [],
  ignoreLocalhost: false,
  debuggerPorts: [9229],
};

for (const [name, socket, config, expected] of [
  ["a server's port", { address: "0.0.0.0", port: 3000 }, {}, "take"],
  ["a server's port on ::", { address: "::", port: 3000 }, {}, "take"],
  ["a server on loopback", { address: "127.0.0.1", port: 3000 }, {}, "take"],
  ["a debugger's port", { address: "127.0.0.1", port: 9229 }, {}, "native"],
  ["any free port", { address: "0.0.0.0", port: 0 }, {}, "native"],
  ["mode off", { address: "0.0.0.0", port: 3000 }, { mode: "off" }, "native"],
  ["an ignored port", { address: "::", port: 3000 }, { ignorePorts: [3000] }, "native"],
  ["a port outside the list", { address: "::", port: 3000 }, { ports: [80] }, "native"],
  ["an empty list", { address: "::", port: 3000 }, { ports: [] }, "native"],
  ["a port in the list", { address: "::", port: 80 }, { ports: [80] }, "take"],
  ["listed and ignored", { address: "::", port: 80 }, { ports: [80], ignorePorts: [80] }, "native"],
  ["loopback ignored", { address: "::1", port: 80 }, { ignoreLocalhost: true }, "native"],
  ["loopback ignored, ::", { address: "::", port: 80 }, { ignoreLocalhost: true }, "take"],
  ["no address", { address: "", port: 80 }, {}, "native"],
] as const) {
  test(`bind: ${name} is ${expected}`, () => {
    const decision = decideBind(socket, { ...BIND, ...config });
    assert.equal(decision.verdict, expected);
    assert.notEqual(decision.why, "");
  });
}

for (const [name, port, ignoreLocalhost, expected] of [
  ["a sidecar's port", 15000, false, "remote"],
  ["a port the tree listens on", 3000, false, "native"],
  ["a debugger's port", 9229, false, "native"],
  ["any port with ignore_localhost", 15000, true, "native"],
] as const) {
  test(`a loopback connect to ${name} is ${expected}`, () => {
    const decision = decideLoopback(
      { port },
      { ignoreLocalhost, listeningPorts: new Set([3000]), debuggerPorts: [9229] },
    );
    assert.equal(decision.verdict, expected);
    assert.notEqual(decision.why, "");
  });
}

test("ports and ignore_ports name the program's port or the pod's that it stands for", () => {
  const socket = { address: "0.0.0.0", port: 5000, podPort: 80 };
  const config = {
    mode: "steal",
    ignorePorts: [],
    ignoreLocalhost: false,
    debuggerPorts: [],
  } as const;
  for (const ports of [[5000], [80]]) {
    assert.equal(decideBind(socket, { ...config, ports }).verdict, "take");
    assert.equal(decideBind(socket, { ...config, ignorePorts: ports }).verdict, "native");
  }
  assert.equal(decideBind(socket, { ...config, ports: [81] }).verdict, "native");
});
