/* What the kernel asks of a listener's notifications, as it counts them. */
#include "listener.h"
#include "tap.h"
#include <errno.h>

static int notification_send(int listener, struct seccomp_notif_resp answer) {
  int result = listener_ask(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) ? -errno : 0;
  statistics_count(result ? &statistics.cancelled : &statistics.answered);
  return result;
}

int notification_reply(int listener, uint64_t id, int64_t value, int error) {
  return notification_send(listener,
                           (struct seccomp_notif_resp){.id = id, .val = error ? 0 : value, .error = -error});
}

int notification_continue(int listener, uint64_t id) {
  return notification_send(listener, (struct seccomp_notif_resp){.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE});
}

int notification_let_go(int listener, uint64_t id) {
  statistics_count(&statistics.continued);
  return notification_continue(listener, id);
}

bool notification_is_valid(int listener, uint64_t id) {
  return listener_ask(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}
