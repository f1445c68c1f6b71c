// A small web server, as one would develop it: it needs an environment variable, a configuration file and another
// service. In the cluster all three are there; on a developer's machine they are not.
import { readFile } from "node:fs/promises";
import http from "node:http";

const PORT = 3000;
const NEIGHBOUR_TIMEOUT_MS = 5_000;

async function answer(request) {
  const neighbour = await fetch("http://greetings/", {
    signal: AbortSignal.timeout(NEIGHBOUR_TIMEOUT_MS),
  });
  return {
    answeredBy: "the local process",
    environment: process.env.GREETING ?? null,
    file: (await readFile("/config/greeting", "utf8")).trim(),
    neighbour: (await neighbour.text()).trim(),
    // A socket that listens on IPv6 too shows IPv4 addresses in this form.
    client: request.socket.remoteAddress.replace(/^::ffff:/, ""),
  };
}

const server = http.createServer(async (request, response) => {
  response.setHeader("content-type", "application/json");
  try {
    response.end(`${JSON.stringify(await answer(request))}\n`);
  } catch (error) {
    response.statusCode = 500;
    response.end(`${JSON.stringify({ error: String(error.cause ?? error) })}\n`);
  }
});
server.listen(PORT, () => console.log(`orders listens on port ${PORT}`));
