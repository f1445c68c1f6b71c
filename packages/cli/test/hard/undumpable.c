/* undumpable ADDRESS [as-it-is]: nobody but root may look into it, from the beginning on or as-it-is. Connects to port 80. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
  if (argc < 2 || (argc == 2 && prctl(PR_SET_DUMPABLE, 0)) || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 1;
  if (open("/etc/passwd", O_RDONLY) < 0) return 2;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  puts(connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? "connected" : strerrorname_np(errno));
  return 0;
}
