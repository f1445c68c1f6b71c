// Does what its argument lists, all at once, as any program of the laptop does, and prints the results: JSON.
import { createSocket } from "node:dgram";
import { lookup, Resolver } from "node:dns";
import { get } from "node:http";
import { connect } from "node:net";

const ACTS = {
  lookup: (done, name) =>
    lookup(name, { all: true }, (error, found) =>
      done(error?.code ?? (found.length > 3 ? found.length : found.map((x) => x.address).join())),
    ),
  /** Asks that name server. */
  resolve: (done, server, name) => {
    const resolver = new Resolver();
    resolver.setServers([server]);
    resolver.resolve4(name, (error, found) => done(error?.code ?? found.join()));
  },
  /** Ends its own direction, and reads until the other one ends. */
  tcp: (done, host, port) => {
    let got = "";
    const socket = connect({ port, host, allowHalfOpen: true }, () => socket.end("over and out"));
    socket.on("data", (bytes) => {
      got += bytes;
    });
    socket.on("end", () => done(got));
    socket.on("error", ({ code }) => done(code));
  },
  udp: (done, host, port) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const end = (result) => {
      socket.close();
      done(result);
    };
    socket.on("message", (message, from) => end(`${message} from ${from.address} ${from.port}`));
    socket.on("error", ({ code }) => end(code));
    socket.connect(port, host, () => socket.send("ping"));
  },
  http: (done, url) => {
    get(url, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => {
        body += text;
      });
      response.on("end", () => done(body));
    }).on("error", ({ code }) => done(code));
  },
};

const LATE_MS = 40_000;
const results = await Promise.all(
  JSON.parse(process.argv[2]).map(
    ([act, ...words]) =>
      new Promise((resolve) => {
        const late = setTimeout(resolve, LATE_MS, "no answer");
        ACTS[act](
          (result) => {
            clearTimeout(late);
            resolve(String(result));
          },
          ...words,
        );
      }),
  ),
);
process.stdout.write(JSON.stringify(results), () => process.exit());
