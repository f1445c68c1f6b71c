// A relay to HOST:PORT over a distance: `distance.cjs HOST PORT RTT_MS` says "ready PORT". What arrives is passed on half
// a round trip later, in order; no limit to what is under way but a bound on memory.
const net = require("node:net");
const [host, port, rttMs] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const MAX_UNDER_WAY = 64 * 1024 * 1024;

function carry(from, to) {
  let underWay = 0;
  const later = (bytes, act) => {
    underWay += bytes;
    if (underWay > MAX_UNDER_WAY) from.pause();
    setTimeout(() => {
      underWay -= bytes;
      if (underWay <= MAX_UNDER_WAY) from.resume();
      act();
    }, rttMs / 2);
  };
  from.on("data", (chunk) => later(chunk.length, () => to.write(chunk)));
  from.on("end", () => later(0, () => to.end()));
  from.on("error", () => to.destroy());
}

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
  carry(near, far);
  carry(far, near);
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${server.address().port}`));
