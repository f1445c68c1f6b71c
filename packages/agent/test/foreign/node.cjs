// "serve ADDRESS PORT": a server of node:http. "get URL COUNT": the sum of what COUNT requests over one agent were
// answered. "raw HOST PORT": a JSON list of requests on stdin, in latin1; prints what each was answered by the time
// the server ended its connection.
const { createHash } = require("node:crypto");
const http = require("node:http");
const net = require("node:net");

const [, , what, ...args] = process.argv;
({ serve, get, raw })[what](...args);

function serve(address, port) {
  const server = http.createServer((request, response) => {
    if (request.url === "/chunks") {
      response.writeHead(200, { Trailer: "X-End" });
      for (let i = 0; i < 5; i++) response.write(String(i).repeat(1000));
      response.addTrailers({ "X-End": "yes" });
      return response.end();
    }
    if (request.url !== "/echo") return response.end("page ".repeat(2000));
    const sum = createHash("sha256");
    let length = 0;
    request.on("data", (chunk) => {
      length += chunk.length;
      sum.update(chunk);
    });
    request.on("end", () => {
      const trailers = JSON.stringify(request.trailers);
      response.end(`${request.method} ${length} ${sum.digest("hex")} ${trailers}\n`);
    });
  });
  server.on("upgrade", (_, socket, head) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    socket.write(head); // what came with the request
    socket.on("data", (bytes) => socket.write(bytes));
    socket.on("end", () => socket.end());
    socket.on("error", () => undefined);
  });
  server.listen({ host: address, port: Number(port), backlog: 511 });
}

async function get(url, count) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const sum = createHash("sha256");
  for (let i = 0; i < Number(count); i++) {
    await new Promise((resolve, reject) => {
      const request = http.request(url, { method: "POST", agent }, (response) => {
        sum.update(`${response.statusCode}\n`);
        response.on("data", (chunk) => sum.update(chunk)).on("end", resolve);
      });
      request.on("error", reject).end(Buffer.alloc(i * 1000, i));
    });
  }
  agent.destroy();
  console.log(sum.digest("hex"));
}

async function raw(host, port) {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const answers = [];
  for (const bytes of JSON.parse(text)) {
    answers.push(
      await new Promise((resolve) => {
        const socket = net.connect({ host, port: Number(port), allowHalfOpen: true });
        let answer = "";
        socket.setEncoding("latin1");
        socket.on("connect", () => socket.write(bytes, "latin1"));
        socket.on("data", (some) => {
          answer += some;
          // Of an upgrade nobody says the end.
          if (answer.endsWith("bye")) socket.end();
        });
        socket.setTimeout(20_000, () => {
          socket.destroy();
          resolve(`${answer}<nothing more>`);
        });
        socket.on("error", (error) => resolve(`${answer}<${error.code}>`));
        socket.on("end", () => {
          socket.destroy();
          resolve(`${answer}<end>`);
        });
      }),
    );
  }
  console.log(JSON.stringify(answers));
}
