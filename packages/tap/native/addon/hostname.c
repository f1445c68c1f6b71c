/* uname: the pod's host name. */
#include "tap.h"
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static char pod_nodename[65];

void uname_set(const char *nodename) { snprintf(pod_nodename, sizeof pod_nodename, "%s", nodename); }

static void tell_uname(void *argument) {
  struct op *op = argument;
  struct utsname names;
  uname(&names);
  memset(names.nodename, 0, sizeof names.nodename);
  snprintf(names.nodename, sizeof names.nodename, "%.64s", pod_nodename);
  int failed = op_tell(op, op->args[0], &names, sizeof names);
  op_reply(op, 0, -failed);
}

void handle_uname(struct op *op) { pool_run(tell_uname, op); }
