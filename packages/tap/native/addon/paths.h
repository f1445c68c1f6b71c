/*
 * Calls with a path: which they are (calls.c), whose path it is (paths.c, places.c), and how the pod's are served without
 * TypeScript (remote.c and serve*.c).
 *
 * Words: the *remote root* is a directory of our own descriptor with the pod's files below it; a *directory of the pod* is
 * one below it that a program holds or works in. A *place* is a path of a call, with what was decided about it.
 */
#pragma once
#include "tap.h"

/* ---- calls.c: the calls ---- */

enum call_kind {
  /* serve-look.c */
  CALL_OPEN, CALL_STAT, CALL_ACCESS, CALL_READLINK, CALL_STATFS, CALL_INOTIFY, CALL_HANDLE, CALL_UNKNOWN,
  /* serve-attributes.c */
  CALL_CHMOD, CALL_CHOWN, CALL_UTIMES, CALL_TRUNCATE, CALL_GETXATTR, CALL_LISTXATTR, CALL_SETXATTR, CALL_REMOVEXATTR,
  /* serve-names.c */
  CALL_MKDIR, CALL_UNLINK, CALL_MKNOD, CALL_SYMLINK, CALL_LINK, CALL_RENAME,
  /* serve-process.c and serve-exec.c */
  CALL_GETCWD, CALL_CHDIR, CALL_EXEC,
};

struct path_call {
  const char *name; /* what TypeScript is told */
  enum call_kind kind;
  int8_t directory, path; /* which arguments they are; directory -1: the working directory; path -1: it is that */
  int8_t flags;           /* which argument has O_… or AT_…; -1: `fixed` are they */
  int operation;          /* enum path_operation; 0: its flags tell */
  int fixed;
  int8_t second_directory, second_path; /* 0: there is none */
};

/* NULL: no path call. */
const struct path_call *call_of_number(int nr);

/* ---- paths.c: the rules ---- */

enum { LONGEST_PATH = 4096 };
enum path_operation { PATH_READ = 1, PATH_WRITE = 2, PATH_LOOKUP = 4 };
enum path_verdict { VERDICT_LOCAL, VERDICT_ASK, VERDICT_NOT_FOUND, VERDICT_REMOTE, VERDICT_READ_ONLY };
enum path_match { MATCH_EXACT, MATCH_TREE, MATCH_PREFIX, MATCH_SUFFIX, MATCH_CONTAINS, MATCH_SHARED_OBJECT, MATCH_ASK, MATCH_AUTOMATON };

struct path_rule {
  enum path_match match;
  int operations; /* mask of path_operation */
  enum path_verdict verdict;
  bool fallback; /* of VERDICT_REMOTE, reading only: what the pod does not have is the developer's */
  bool guarding; /* what it does not give the pod is not written to below the pod's directories either: EROFS */
  bool reported; /* who wants to know is told when it decides */
  bool binding;  /* decides also about a path that is named from a directory of the pod; no other rule does */
  const uint16_t *table; /* of an automaton, behind the text */
  size_t length;
  char text[]; /* lower case */
};

struct path_decision {
  enum path_verdict verdict;
  bool fallback, reported, guarding;
  int rule; /* its index; -1: none */
};

/* match.c */
enum path_matched { PATH_DIFFERS, PATH_MATCHED, PATH_UNSURE /* only TypeScript can tell */ };
/* `path` is lowered, and ends in a NUL. */
enum path_matched path_rule_matches(const struct path_rule *rule, const char *path, size_t length);

void paths_set_rules(struct path_rule **rules, size_t count);
/* The first rule that matches. */
struct path_decision paths_match(const char *path, size_t length, int operation, bool binding_only);
/* Removes "//", "." and ".." by the letters alone, in place; a leading slash is given. Returns the length. */
size_t paths_normalise(char *path);

/* ---- places.c: what a call is about ---- */

struct place {
  char *path; /* absolute and normalised: what rules are about, and TypeScript is told; NULL: none */
  char *walk; /* what is looked up below a root: with the dots that a symbolic link may give another meaning */
  bool below_remote; /* named from a directory of the pod, and it stays below that */
  bool from_remote;  /* named from a directory of the pod: natively the kernel would go on from there */
  enum path_verdict verdict;
  bool fallback, reported;
  int rule;
};

/* A path call while it is decided and served; `args` are the call's own. */
struct path_work {
  int listener;
  pid_t tid, tgid;
  int nr;
  uint64_t args[6];
  bool compat; /* of a 32-bit program */
  const struct path_call *call;
  int flags, operation;
  uint64_t how_resolve; /* of openat2 */
  uint64_t how_mode;
  struct place place, second; /* the second one only of calls with two paths: its `path` is NULL else */
  uint64_t token;
  int64_t began_ns; /* 0: nobody wants to know */
  bool is_unreadable; /* a path is where nothing can be read */
};

/* Fills flags, operation and the place. VERDICT_LOCAL: it goes on natively, also when it cannot be told. */
void places_decide(struct path_work *work);
/* Whether the thread's working directory is one of the pod's. */
bool places_work_in_remote(pid_t tid);
void places_free(struct path_work *work);

/* ---- remote.c: the pod's files ---- */

struct remote_root {
  int fd; /* O_PATH; -1: there is none */
  dev_t device;
  bool read_only; /* what no rule gives the pod is not written to below its directories */
  bool asks;      /* TypeScript is asked before anything is looked up here */
  const char *prefix; /* what the kernel's paths of its directories begin with; NULL: nothing, it is a mount of its own */
};
/* `root.fd` is duplicated, `root.prefix` kept for ever. */
void remote_set(struct remote_root root, int hint_fd);
struct remote_root remote_get(void);
/* Whether a program may hold or work in a directory of the pod. */
bool remote_is_entered(void);
void remote_enter(void);
/*
 * Whether /proc/…/cwd or …/fd/N is a directory of the pod; asks no server. `path`: what the link says, which becomes the
 * pod's.
 */
bool remote_is_below(const char *proc_link, char *path);
/*
 * openat2 of `walk` below a place's root, from the cache if it can be, else after a hint about the place. A descriptor
 * or -errno.
 */
int remote_open(const struct path_work *work, const struct place *place, const char *walk, uint64_t flags, uint64_t mode);
/* Whether the way there, or that there is none, is in the cache. */
bool remote_knows(const struct path_work *work, const char *walk, uint64_t flags);
/* The calling thread makes files with the umask that the program has. */
void remote_take_umask(pid_t tid);

/* hint.c: tells the server a whole path before it is looked up; returns when it is ready, or after two seconds */
void hint_start(int fd);
void hint_path(const char *path);

/* ---- report.c: what was decided here ---- */

/* How much is wanted: of rules that say so what is new, or every call. */
enum report_level { REPORT_NOTHING, REPORT_NEWS, REPORT_ALL };
/* For `result`, which else is an errno or 0: the kernel goes on by itself, and its answer is not seen here. */
enum { RESULT_UNKNOWN = -1 };
void report_want(enum report_level level);
/* Whether anything is. */
bool report_is_wanted(void);
/* One of a call's paths; `fell_back`: the pod had no such file. */
void report_place(const struct path_work *work, const struct place *place, bool fell_back);
void report_work(const struct path_work *work);
/* Where every call is wanted: when it began, and what became of it. */
void report_began(struct path_work *work);
void report_outcome(const struct path_work *work, bool fell_back, int result);
/* A connect(2) that was decided here; its address is known. */
void report_connect(const struct op *op, int result);
/* events.c */
void emit_decided(const struct path_work *work, const struct place *place, bool fell_back, int result);
void emit_connect_decided(const struct op *op, int result);

/* ---- serve.c: the pod's paths, served here ---- */

/* From a receiving thread. `work` is copied; its place becomes the call's. True: it was taken care of. */
bool serve_begin(const struct seccomp_notif *notif, struct path_work *work);
/* TypeScript decided it: claimed. `path`: another one than the call's (mapping), or NULL. */
void serve_remote(struct op *op, const char *path, const char *second, bool fallback);
/* The developer's file, where natively the kernel would not find it: of that name, or (not NULL) of others. */
void serve_local(struct op *op, const char *path, const char *second);

struct tracee;
/* What serving one kind came to. */
struct outcome {
  int64_t value;
  int error; /* positive errno */
  int fd;    /* >= 0: to be injected */
  bool cloexec;
  bool by_itself; /* the thread must open `fd` itself, or go on as chdir and exec do */
  const void *answer; /* goes to the program's memory at `to`; NULL: nothing does */
  size_t length;
  uint64_t to;
  void *heap; /* freed with it */
  char room[LONGEST_PATH];
};
void serve_open(const struct path_work *work, struct outcome *outcome);
void serve_look(const struct path_work *work, struct outcome *outcome);
void serve_attributes(const struct path_work *work, struct outcome *outcome);
void serve_names(const struct path_work *work, struct outcome *outcome);
void serve_getcwd(const struct path_work *work, struct outcome *outcome);
void serve_chdir(const struct path_work *work, struct outcome *outcome);
void serve_exec(const struct path_work *work, struct outcome *outcome);
/* The rest of chdir, exec and some opens: by the thread itself. Takes the claimed op; the outcome's descriptor stays. */
void serve_by_itself(struct op *op, const struct path_work *work, const struct outcome *outcome);
int64_t exec_act(struct tracee *tracee, const struct path_work *work, const struct outcome *outcome);
/* The call's path as an O_PATH descriptor, of a link itself where its flags say so; or -errno. */
int serve_path(const struct path_work *work);
/* Whether that asks no server. */
bool serve_path_is_known(const struct path_work *work);
/* That descriptor as a path: what a call without a variant for descriptors is made with. */
enum { SELF_PATH = 32 };
void serve_self(int fd, char path[SELF_PATH]);
/* Whether doing it twice is something else than doing it once. */
bool serve_acts(const struct path_work *work);
/* An argument as a string into `into`: 0 or -errno. */
int serve_string(const struct path_work *work, int argument, char *into, size_t size);
