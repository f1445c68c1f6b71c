// PORT. What facts.c answers, by Deno's own API. The same by Node's: node-single.mjs.
const word = (error) => {
  if (error instanceof Deno.errors.ConnectionRefused) return "ECONNREFUSED";
  if (/os error 113|No route to host/.test(error.message)) return "EHOSTUNREACH";
  if (/Name or service not known|failed to lookup/.test(error.message)) return "EAI_NONAME";
  return error.message;
};
const orWord = (observe) => observe().catch(word);
const text = ({ hostname, port }) => `${hostname.replace(/^::ffff:/, "")}:${port}`;

async function get(hostname) {
  const conn = await Deno.connect({ hostname, port: 80 });
  await conn.write(new TextEncoder().encode(`GET / HTTP/1.0\r\nHost: ${hostname}\r\n\r\n`));
  const { remoteAddr, localAddr } = conn;
  const body = (await new Response(conn.readable).text()).split("\r\n\r\n")[1].trim();
  return `${body}\nto ${text(remoteAddr)}\nfrom ${localAddr.hostname}`;
}

async function connect(hostname, port) {
  (await Deno.connect({ hostname, port })).close();
  return "connected";
}

const name = (host) => (host.includes(".") ? host : `${host}.shop.svc.cluster.local`);

Deno.serve(
  {
    port: Number(Deno.args[0]),
    hostname: "0.0.0.0",
    onListen: ({ port }) => console.log(`listening ${port}`),
  },
  async (request, { remoteAddr }) => {
    const [host, port, unreachable, variable, ...file] = new URL(request.url).pathname
      .slice(1)
      .split("/");
    const lines = await Promise.all([
      orWord(() => get(host)).then((value) => `out ${value}`),
      orWord(async () => (await (await fetch(`http://${host}/`)).text()).trim()).then(
        (value) => `out ${value}`,
      ),
      orWord(async () => (await Deno.resolveDns(name(host), "A"))[0]).then((v) => `resolver ${v}`),
      orWord(async () => (await Deno.readTextFile(`/${file.join("/")}`)).trim()).then(
        (value) => `file ${value}`,
      ),
      orWord(() => connect(host, Number(port))).then((value) => `refused ${value}`),
      orWord(() => connect(unreachable, 80)).then((value) => `unreachable ${value}`),
      orWord(() => connect("nobody.example", 80)).then((value) => `unknown ${value}`),
    ]);
    // It has no call for libc's lookup alone: connecting by name is one.
    const dns = /^to (.*):80$/m.exec(lines[0])?.[1];
    return new Response(
      `peer ${text(remoteAddr)}\n${lines.join("\n")}\ndns ${dns}\nenv ${Deno.env.get(variable)}\nhostname ${Deno.hostname()}\nby ${Deno.pid}\n`,
    );
  },
);
