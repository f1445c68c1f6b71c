// PORT. See facts.mjs; the thread that has the port asks two others for what they observe.
import http from "node:http";
import { isMainThread, parentPort, threadId, Worker } from "node:worker_threads";
import { observe } from "./facts.mjs";

if (isMainThread) {
  const port = Number(process.argv[2]);
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url)));
  const waiting = new Map();
  for (const worker of workers) {
    worker.on("message", ({ id, text }) => {
      waiting.get(id)?.(text);
      waiting.delete(id);
    });
  }
  let last = 0;
  http
    .createServer(({ url, socket }, response) => {
      const id = ++last;
      const plain = (address) => address.replace(/^::ffff:/, "");
      const peer = `peer ${plain(socket.remoteAddress)}:${socket.remotePort}`;
      const local = `local ${plain(socket.localAddress)}:${socket.localPort}`;
      waiting.set(id, (text) => response.end(`${peer}\n${local}\n${text}`));
      workers[id % workers.length].postMessage({ id, url });
    })
    .listen(port, () => console.log(`listening ${port}`));
} else {
  parentPort.on("message", async ({ id, url }) => {
    parentPort.postMessage({ id, text: `${await observe(url)}\nby ${threadId}\n` });
  });
}
