/** What a Service's pod answers, and how another pod asks it: HTTP/1 and HTTP/2 on one port, TCP on another. */

/** The first bytes tell: HTTP/2's preface begins with PRI. */
export const RELAY_POD_SERVER = `
const http = require("http"), http2 = require("http2"), net = require("net");
const one = http.createServer((q, r) => r.end("pod"));
const two = http2.createServer((q, r) => r.end("pod"));
net.createServer((socket) => socket.once("data", (first) => {
  socket.pause();
  socket.unshift(first);
  (first.toString("latin1").startsWith("PRI") ? two : one).emit("connection", socket);
  process.nextTick(() => socket.resume());
}).on("error", () => {})).listen(3000);
net.createServer((socket) => socket.on("error", () => {}).end("pod")).listen(3001);`;

/** Prints the three answers. Its arguments are the Service and, of HTTP, the version that is asked for. */
export const RELAY_CLIENT = `
const http = require("http"), http2 = require("http2"), net = require("net");
const [name, version = "0"] = process.argv.slice(1);
const one = () => new Promise((resolve) => http.get({ host: name, port: 80, agent: false, timeout: 10000, headers: { version } }, (answer) => {
  let text = "";
  answer.on("data", (chunk) => { text += chunk; }).on("end", () => resolve(text));
}).on("error", (error) => resolve(error.code)));
const two = () => new Promise((resolve) => {
  const session = http2.connect("http://" + name + ":80");
  session.on("error", (error) => resolve(error.code));
  const request = session.request({ ":path": "/", version });
  let text = "";
  request.on("data", (chunk) => { text += chunk; }).on("error", (error) => resolve(error.code));
  request.on("end", () => { session.close(); resolve(text); });
});
const raw = () => new Promise((resolve) => {
  let text = "";
  const socket = net.connect(81, name);
  socket.on("data", (chunk) => { text += chunk; }).on("error", (error) => resolve(error.code));
  socket.on("close", () => resolve(text));
});
setTimeout(() => { console.log("no answer"); process.exit(1); }, 15000).unref();
(async () => process.stdout.write([await one(), await two(), await raw()].join(" ")))();`;
