// HOST PORT: 50 connects at once. Output: see nonblock50.c.
import net from "node:net";

const COUNT = 50;
const [host, port] = process.argv.slice(2);
const start = performance.now();
const results = {};
const attempts = Array.from({ length: COUNT }, () => {
  const socket = net.connect({ host, port: Number(port) });
  socket.setTimeout(20_000, () =>
    socket.destroy(Object.assign(new Error(), { code: "ETIMEDOUT" })),
  );
  return new Promise((resolve) => {
    const done = (name) => {
      results[name] = (results[name] ?? 0) + 1;
      socket.destroy();
      resolve();
    };
    socket.once("connect", () => done("ok"));
    socket.once("error", (error) => done(error.code));
  });
});
await Promise.all(attempts);
console.log(JSON.stringify({ ms: Math.round(performance.now() - start), results }));
