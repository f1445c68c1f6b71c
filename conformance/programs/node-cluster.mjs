// PORT. See facts.mjs; two processes that share the port. The first one has it and hands connections out.
import cluster from "node:cluster";
import { server } from "./facts.mjs";

const port = Number(process.argv[2]);
if (cluster.isPrimary) {
  for (let each = 0; each < 2; each++) cluster.fork();
  cluster.on("exit", () => process.exit(1));
} else {
  server(process.pid).listen(port, () => console.log(`listening ${port}`));
}
