/**
 * The machine in the cluster's network (Linux, root): routes to subnets of the cluster, and its names.
 *
 * The *helper* (native/routes) holds a network namespace of its own and a pair of links between it and the machine. What
 * this machine's programs send to the subnets is routed there, where every address and port ends in sockets of ours: those of
 * TCP come here as descriptors, datagrams as frames. From here each goes through the session, and so leaves from the
 * target. There is no TCP in user space, no rule of a firewall, and no packet is looked into.
 *
 * `plan/` decides which subnets are routed: never the API server, never what is the machine's own. `dns/` answers for the
 * cluster's domains, and asks the former name servers for everything else; the one file that may have to be changed
 * for it is written down first (journal.ts). Links, routes and sockets are gone with the helper, or with us, by the
 * kernel; /etc/resolv.conf by whichever of both is left. `recoverMachine()` is for when neither was.
 */
export { type Routes, type RoutesOptions, routesPossible, startRoutes } from "./connect.ts";
export { type LeftOnMachine, leftOnMachine, recoverMachine } from "./left.ts";
export { namedSubnets, type RoutesPlan, type RoutesWish } from "./plan/plan.ts";
