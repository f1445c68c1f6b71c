#pragma once

/* Newer than the headers this may be compiled with; the same numbers on all architectures. */
enum {
  NEWER_FCHMODAT2 = 452,
  NEWER_SETXATTRAT = 463,
  NEWER_GETXATTRAT = 464,
  NEWER_LISTXATTRAT = 465,
  NEWER_REMOVEXATTRAT = 466,
};
