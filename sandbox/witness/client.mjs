// HOST PORT PATH, with node:http. Output: see client.c.
import http from "node:http";

const [host, port, path] = process.argv.slice(2);
const request = http.get({ host, port, path, agent: false, signal: AbortSignal.timeout(20_000) });
request.on("error", (error) => {
  console.log(error.code === "ENOTFOUND" ? "EAI_NONAME" : error.code);
  process.exitCode = 1;
});
request.on("response", (response) => {
  const { remoteAddress, remotePort, localAddress, localPort } = response.socket;
  response.pipe(process.stdout, { end: false });
  response.on("end", () => {
    console.log(`peer ${remoteAddress}:${remotePort}\nlocal ${localAddress}:${localPort}`);
  });
});
