// PORT. See facts.mjs; one process.
import { server } from "./facts.mjs";

const port = Number(process.argv[2]);
server(process.pid).listen(port, () => console.log(`listening ${port}`));
