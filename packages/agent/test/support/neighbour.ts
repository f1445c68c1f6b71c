/** A pod with a neighbour: another network namespace, which is the pod's gateway and has clients of its own. */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pod, type Who } from "./pod.ts";

export const POD = "198.18.7.1";
export const GATEWAY = "198.18.7.9";
export const CLIENT = "198.18.7.10";

const SETUP = `unshare --net sleep 600 & outside=$!
  for n in $(seq 500); do
    [ "$(readlink /proc/$outside/ns/net)" = "$(readlink /proc/self/ns/net)" ] || break; sleep 0.01; done
  ip link add eth0 type veth peer name out0 netns $outside
  ip addr add ${POD}/24 dev eth0; ip link set eth0 up; ip route add default via ${GATEWAY}
  nsenter --net --target $outside sh -c "ip addr add ${GATEWAY}/24 dev out0; ip addr add ${CLIENT}/24 dev out0; ip link set out0 up; $OUTSIDE"
  ${process.execPath} -e "$SERVERS" >"$LOG" &
  until grep -q ready "$LOG"; do sleep 0.01; done`;

/** Written for `node -e`: from an address, sends hexadecimal bytes (or ends at once), prints what comes first. */
const ASK = `const [,from,port,hex]=process.argv;const s=require("net").connect({host:"${POD}",port:+port,localAddress:from});
  const say=(t)=>{console.log(t);process.exit()};s.on("connect",()=>hex?s.write(Buffer.from(hex,"hex")):s.end());
  s.on("data",b=>say(String(b)));s.on("end",()=>say("<end>"));s.on("error",e=>say(e.code))`;

export interface Neighbour {
  readonly pod: Pod;
  /** What a connection to the pod from there is answered, when these bytes, or nothing but an end, are sent. */
  ask(from: string, port: number, bytes: string): Promise<string>;
  /** What a program in the neighbour's network prints. */
  run(...command: string[]): Promise<string>;
  /** What the pod's servers have said so far. */
  said(): string;
}

/**
 * @param servers written for `node -e`: says "ready" when they listen
 * @param outside shell commands in the neighbour's network
 */
export async function startNeighbour(
  who: Who,
  t: { after(run: () => unknown): void },
  servers: string,
  outside = "true",
): Promise<Neighbour> {
  const folder = mkdtempSync(join(tmpdir(), "inpod-neighbour-"));
  chmodSync(folder, 0o777); // the servers may be another user's
  const log = join(folder, "log");
  t.after(() => rmSync(folder, { recursive: true }));
  const pod = await Pod.start(who, SETUP, "", { SERVERS: servers, OUTSIDE: outside, LOG: log });
  t.after(() => pod.stop());
  const children = readFileSync(`/proc/${pod.pid}/task/${pod.pid}/children`, "utf8").trim();
  const pid = children
    .split(" ")
    .find((each) => readFileSync(`/proc/${each}/comm`, "utf8") === "sleep\n");
  const run = async (...command: string[]): Promise<string> =>
    (await pod.output("nsenter", "--net", "--target", String(pid), ...command)).trim();
  return {
    pod,
    run,
    ask: (from, port, bytes) =>
      run(
        process.execPath,
        "-e",
        ASK,
        from,
        String(port),
        Buffer.from(bytes, "latin1").toString("hex"),
      ),
    said: () => readFileSync(log, "utf8"),
  };
}
