/*
 * Programs of the pod, executed here: from a copy in memory, because a page that comes from the pod when it is first used
 * would come in the middle of anything. The loader and the libraries are the developer's, by the rules for them.
 */
#include "paths.h"
#include "tracee.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* The kernel looks at so much of a script (BINPRM_BUF_SIZE), and at so many arguments at most (a page for each two). */
enum { HEAD_BYTES = 256, MAX_ARGUMENTS = 1 << 18 };
static const off_t MAX_PROGRAM = 256 << 20;

static const char *last_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* A sealed copy, or -errno. */
static int copy_program(int from, off_t size, const char *path) {
  char name[250];
  strncpy(name, last_name(path), sizeof name - 1);
  name[sizeof name - 1] = 0;
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); /* before Linux 6.3 */
  if (fd < 0) return -errno;
  ssize_t put = 0;
  for (off_t done = 0; done < size; done += put) {
    put = sendfile(fd, from, NULL, (size_t)(size - done));
    if (put > 0 || (put < 0 && errno == EINTR)) continue;
    int error = put < 0 ? errno : EIO; /* shorter than it said */
    close(fd);
    return -error;
  }
  fchmod(fd, 0755);
  fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return fd;
}

/* Opened for reading if it may be executed; `head` is NUL-padded. A descriptor or -errno. */
static int open_program(const struct path_work *work, const struct place *place, const char *walk, struct stat *file,
                        char head[HEAD_BYTES + 1]) {
  int stays = work->flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
  int fd = remote_open(work, place, walk, (uint64_t)(O_RDONLY | O_NONBLOCK | stays), 0);
  if (fd < 0) return fd;
  int error = 0;
  memset(head, 0, HEAD_BYTES + 1);
  if (fstat(fd, file) != 0) error = errno;
  else if (!S_ISREG(file->st_mode)) error = EACCES;
  else if (syscall(__NR_faccessat2, fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) error = errno;
  else if (file->st_size > MAX_PROGRAM) error = ENOMEM;
  else if (pread(fd, head, HEAD_BYTES, 0) < 0) error = errno;
  if (error == ENOMEM) emit_refused(work->tgid, work->call->name, place->path, "size");
  if (!error) return fd;
  close(fd);
  return -error;
}

/* "#!interpreter argument" into two strings, the second one maybe empty. False: it is none. */
static bool parse_script(const char *head, char interpreter[HEAD_BYTES], char argument[HEAD_BYTES]) {
  const char *end = strchr(head, '\n');
  if (!end) end = head + strlen(head);
  const char *at = head + 2 + strspn(head + 2, " \t"), *stop = at;
  if (at >= end) return false;
  while (stop < end && *stop != ' ' && *stop != '\t') stop++;
  if (*stop == 0 && stop - head >= HEAD_BYTES) return false; /* cut off */
  memcpy(interpreter, at, (size_t)(stop - at));
  interpreter[stop - at] = 0;
  while (stop < end && (*stop == ' ' || *stop == '\t')) stop++;
  while (end > stop && (end[-1] == ' ' || end[-1] == '\t')) end--;
  memcpy(argument, stop, (size_t)(end - stop));
  argument[end - stop] = 0;
  return interpreter[0] != 0;
}

/* The interpreter of a script is looked up as any path. Its copy, -1: the developer's, or -errno. */
static int interpreter_of(const struct path_work *work, char *interpreter) {
  char path[HEAD_BYTES], head[HEAD_BYTES + 1];
  struct stat file;
  if (interpreter[0] != '/') return -1;
  strcpy(path, interpreter);
  struct path_decision decision = paths_match(path, paths_normalise(path), PATH_READ, false);
  if (decision.verdict != VERDICT_REMOTE) return -1;
  struct place place = {.path = path, .verdict = VERDICT_REMOTE};
  int from = open_program(work, &place, path, &file, head);
  if ((from == -ENOENT || from == -ENOTDIR) && decision.fallback) return -1;
  if (from < 0) return from;
  int fd = memcmp(head, "#!", 2) == 0 ? -ENOEXEC : copy_program(from, file.st_size, path);
  close(from);
  return fd;
}

/* Interpreter and argument of a script; both empty: it is none. In the outcome's room. */
struct script {
  char interpreter[HEAD_BYTES], argument[HEAD_BYTES];
};
_Static_assert(sizeof(struct script) <= LONGEST_PATH, "a script's first line has room in an outcome");

void serve_exec(const struct path_work *work, struct outcome *outcome) {
  struct script *script = (struct script *)outcome->room;
  char head[HEAD_BYTES + 1];
  struct stat file;
  memset(script, 0, sizeof *script);
  if (work->place.verdict == VERDICT_LOCAL) return; /* by its absolute path, from wherever */
  int from = open_program(work, &work->place, work->place.walk, &file, head);
  if (from < 0) {
    outcome->error = -from;
    return;
  }
  int fd;
  if (memcmp(head, "#!", 2) != 0) fd = copy_program(from, file.st_size, work->place.path);
  else if (!parse_script(head, script->interpreter, script->argument)) fd = -ENOEXEC;
  else fd = interpreter_of(work, script->interpreter);
  close(from);
  if (fd < -1) outcome->error = -fd;
  else outcome->fd = fd;
}

/* Memory in the program for what it did not say itself. Its new image has none of it. */
struct block {
  uint64_t at;
  size_t size, used;
  char *content;
};

static uint64_t block_put(struct block *block, const void *bytes, size_t length) {
  memcpy(block->content + block->used, bytes, length);
  uint64_t at = block->at + block->used;
  block->used += length;
  return at;
}
static uint64_t block_text(struct block *block, const char *text) { return block_put(block, text, strlen(text) + 1); }

/* The program's own argv but for its first entry; how many, or -errno. `more`: room that is left before them. */
static ssize_t read_arguments(const struct tracee *tracee, uint64_t argv, size_t more, uint64_t **into) {
  size_t count = 0, room = 64;
  uint64_t *pointers = malloc((room + more) * sizeof *pointers);
  for (; pointers && count < MAX_ARGUMENTS && argv; count++) {
    if (count == room) {
      uint64_t *grown = realloc(pointers, ((room *= 2) + more) * sizeof *pointers);
      if (!grown) free(pointers);
      pointers = grown;
      if (!pointers) break;
    }
    uint64_t *pointer = &pointers[more + count];
    if (memory_read(tracee->tid, argv + 8 * count, pointer, sizeof *pointer) != sizeof *pointer) {
      free(pointers);
      return -EFAULT;
    }
    if (!*pointer) break;
  }
  *into = pointers;
  return pointers ? (ssize_t)count : -ENOMEM;
}

/* What the thread executes: execve by a path, or execveat of the descriptor it was given. */
struct execution {
  uint64_t path, argv, envp;
};

static int64_t execute(struct tracee *tracee, const struct execution *execution, uint64_t empty) {
  if (tracee->number < 0)
    return tracee_call(tracee, __NR_execve, (const uint64_t[6]){execution->path, execution->argv, execution->envp});
  return tracee_call(tracee, __NR_execveat,
                     (const uint64_t[6]){(uint64_t)tracee->number, empty, execution->argv, execution->envp, AT_EMPTY_PATH});
}

static int64_t execute_with(struct tracee *tracee, const struct path_work *work, const struct script *script,
                            struct execution execution) {
  /* interpreter, its argument, the script, the rest of argv, NULL */
  enum { BEFORE = 4 };
  uint64_t *pointers = NULL;
  ssize_t count = script->interpreter[0] ? read_arguments(tracee, execution.argv, BEFORE, &pointers) : 0;
  if (count < 0) return count;
  struct block block = {.size = (size_t)(count + BEFORE + 1) * 8 + sizeof *script + strlen(work->place.path) + 2};
  const uint64_t memory[6] = {0, block.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};
  block.content = malloc(block.size);
  int64_t result = block.content ? tracee_call(tracee, __NR_mmap, memory) : -ENOMEM;
  bool is_mapped = result >= 0 || result < -4095;
  if (is_mapped) {
    block.at = (uint64_t)result;
    uint64_t given = work->args[work->call->path], path = work->nr == __NR_execve ? given : block_text(&block, work->place.path);
    if (script->interpreter[0]) {
      size_t first = count > 0 ? BEFORE + 1 : BEFORE; /* its own argv[0] is not passed on */
      uint64_t last[] = {path}, text[] = {block_text(&block, script->argument)};
      pointers[--first] = last[0];
      if (script->argument[0]) pointers[--first] = text[0];
      execution.path = pointers[first - 1] = block_text(&block, script->interpreter);
      first--;
      pointers[BEFORE + count] = 0;
      block.used = (block.used + 7) & ~(size_t)7;
      execution.argv = block_put(&block, pointers + first, (size_t)(BEFORE + count - (ssize_t)first + 1) * 8);
    } else {
      execution.path = block_text(&block, work->place.path);
    }
    result = memory_write(tracee->tid, block.at, block.content, block.used);
    if (!result) result = execute(tracee, &execution, block.at + block.used);
    if (!tracee->has_executed) tracee_call(tracee, __NR_munmap, (const uint64_t[6]){block.at, block.size});
  }
  free(block.content);
  free(pointers);
  return result;
}

int64_t exec_act(struct tracee *tracee, const struct path_work *work, const struct outcome *outcome) {
  const struct script *script = (const struct script *)outcome->room;
  int at = work->call->path;
  struct execution execution = {.argv = work->args[at + 1], .envp = work->args[at + 2]};
  int64_t result;
  if (tracee->number >= 0 && !script->interpreter[0]) {
    char given[LONGEST_PATH];
    ssize_t length = memory_read_string(tracee->tid, work->args[at], given, sizeof given);
    /* The end of its own path is an empty one. */
    result = length < 0 ? length : execute(tracee, &execution, work->args[at] + (uint64_t)length);
  } else {
    result = execute_with(tracee, work, script, execution);
  }
  if (tracee->number >= 0 && !tracee->has_executed) tracee_call(tracee, __NR_close, (const uint64_t[6]){(uint64_t)tracee->number});
  return result;
}
