// The least a Node program between two networks can do: argv is FROM TO [FROM TO …], each HOST:PORT. Says "ready".
const net = require("node:net");
const addresses = process.argv.slice(2).map((text) => {
  const [host, port] = text.split(":");
  return { host, port: Number(port) };
});
let waiting = addresses.length / 2;
for (let at = 0; at < addresses.length; at += 2) {
  const [from, to] = [addresses[at], addresses[at + 1]];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ ...to, allowHalfOpen: true, noDelay: true });
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.pipe(far).pipe(near);
  });
  server.listen({ ...from, backlog: 4096 }, () => {
    waiting -= 1;
    if (waiting === 0) console.log("ready");
  });
}
