/* A file that inpod has changed becomes what it was; what it was stands in a directory of its own (src/dns/journal.ts). */
#pragma once

/*
 * `directory` has
 *   original: the file's bytes, or a symbolic link: the file was one, to the same;
 *   written: what inpod wrote.
 * One word of what was done: "restored"; "same": the file is the original; "changed": it is neither, and stays as it
 * is. The directory is gone then. Else -errno.
 */
int restore(const char *directory, const char *path, const char **done);
