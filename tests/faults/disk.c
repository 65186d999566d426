/* A disk that fails: preloaded (LD_PRELOAD), it counts a process's changes of files below a folder,
 * and at the n-th something happens. `disk_arm` says what, `disk_list` where to write each change.
 *
 * A change is a call that makes, fills, flushes, renames or removes a file or folder. What the C
 * library calls within itself (fwrite) is not seen; Python, Rust's and C++'s libraries are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum effect {
  NONE,  /* only count */
  FULL,  /* this change and all later ones fail, but for removals */
  ONCE,  /* only this one fails */
  SHORT, /* a write is done by half; all later changes fail, but for removals */
  KILL,  /* the process is killed before the change */
  TORN,  /* the process is killed when a write is done by half */
  TERM   /* the process is told to end before the change */
};
enum kind { MAKE, FILL, REMOVE };
enum verdict { PASS, FAIL, HALF };

static char below[PATH_MAX];
static size_t below_length;
static enum effect effect;
static long chosen, counted;
static int error_number, list = -1;

void disk_arm(const char *folder, int what, long nth, int error) {
  snprintf(below, sizeof below, "%s/", folder);
  below_length = strlen(below);
  effect = what;
  chosen = nth;
  counted = 0;
  error_number = error;
}

void disk_list(int descriptor) { list = descriptor; }

static void die(int number) {
  kill(getpid(), number);
  if (number == SIGKILL) pause();
}

/* What becomes of a change of the file that `path` names, seen from the folder `at`. */
static enum verdict judge(const char *call, enum kind kind, int at, const char *path) {
  char full[2 * PATH_MAX], link[64];
  if (!below_length) return PASS;
  if (path && path[0] == '/') {
    snprintf(full, sizeof full, "%s", path);
  } else {
    if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, full, PATH_MAX - 1);
    if (length < 0) return PASS;
    full[length] = 0;
    if (path) snprintf(full + length, PATH_MAX, "/%s", path);
  }
  if (strncmp(full, below, below_length)) return PASS;
  long now = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
  if (list >= 0) dprintf(list, "%s %s\n", call, full + below_length);
  if (effect == NONE || now < chosen) return PASS;
  if (now > chosen) return (effect == FULL || effect == SHORT) && kind != REMOVE ? FAIL : PASS;
  switch (effect) {
    case FULL:
    case ONCE: return kind == REMOVE ? PASS : FAIL;
    case SHORT: return kind == FILL ? HALF : kind == REMOVE ? PASS : FAIL;
    case TORN:
      if (kind == FILL) return HALF;
      die(SIGKILL);
      return PASS;
    case KILL: die(SIGKILL); return PASS;
    default: die(SIGTERM); return PASS;
  }
}

static void after_half(void) {
  if (effect == TORN) die(SIGKILL);
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define CHANGE(call, kind, at, path) \
  if (judge(call, kind, at, path) == FAIL) { \
    errno = error_number; \
    return -1; \
  }

#define WRITE(name, arguments, half, ...) \
  ssize_t name arguments { \
    REAL(name); \
    switch (judge(#name, FILL, fd, NULL)) { \
      case FAIL: errno = error_number; return -1; \
      case HALF: { \
        ssize_t written = half; \
        after_half(); \
        return written; \
      } \
      default: return real(__VA_ARGS__); \
    } \
  }

WRITE(write, (int fd, const void *data, size_t size), real(fd, data, (size + 1) / 2), fd, data, size)
WRITE(pwrite, (int fd, const void *data, size_t size, off_t place),
      real(fd, data, (size + 1) / 2, place), fd, data, size, place)
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t place),
      real(fd, data, (size + 1) / 2, place), fd, data, size, place)
WRITE(writev, (int fd, const struct iovec *parts, int count),
      write(fd, parts[0].iov_base, (parts[0].iov_len + 1) / 2), fd, parts, count)

#define OPEN(name, call) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
      va_list more; \
      va_start(more, flags); \
      mode = va_arg(more, mode_t); \
      va_end(more); \
      CHANGE(call, MAKE, AT_FDCWD, path) \
    } \
    return real(path, flags, mode); \
  }
OPEN(open, "open")
OPEN(open64, "open")

#define OPENAT(name) \
  int name(int at, const char *path, int flags, ...) { \
    REAL(name); \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
      va_list more; \
      va_start(more, flags); \
      mode = va_arg(more, mode_t); \
      va_end(more); \
      CHANGE("open", MAKE, at, path) \
    } \
    return real(at, path, flags, mode); \
  }
OPENAT(openat)
OPENAT(openat64)

#define SIMPLE(name, kind, at, path, arguments, ...) \
  int name arguments { \
    REAL(name); \
    CHANGE(#name, kind, at, path) \
    return real(__VA_ARGS__); \
  }

SIMPLE(fsync, MAKE, fd, NULL, (int fd), fd)
SIMPLE(fdatasync, MAKE, fd, NULL, (int fd), fd)
SIMPLE(ftruncate, MAKE, fd, NULL, (int fd, off_t size), fd, size)
SIMPLE(ftruncate64, MAKE, fd, NULL, (int fd, off64_t size), fd, size)
SIMPLE(mkdir, MAKE, AT_FDCWD, path, (const char *path, mode_t mode), path, mode)
SIMPLE(mkdirat, MAKE, at, path, (int at, const char *path, mode_t mode), at, path, mode)
SIMPLE(rename, MAKE, AT_FDCWD, to, (const char *from, const char *to), from, to)
SIMPLE(renameat, MAKE, to_at, to, (int at, const char *from, int to_at, const char *to), at, from,
       to_at, to)
SIMPLE(link, MAKE, AT_FDCWD, to, (const char *from, const char *to), from, to)
SIMPLE(linkat, MAKE, to_at, to, (int at, const char *from, int to_at, const char *to, int flags),
       at, from, to_at, to, flags)
SIMPLE(symlink, MAKE, AT_FDCWD, to, (const char *from, const char *to), from, to)
SIMPLE(chmod, MAKE, AT_FDCWD, path, (const char *path, mode_t mode), path, mode)
SIMPLE(unlink, REMOVE, AT_FDCWD, path, (const char *path), path)
SIMPLE(unlinkat, REMOVE, at, path, (int at, const char *path, int flags), at, path, flags)
SIMPLE(rmdir, REMOVE, AT_FDCWD, path, (const char *path), path)

/* These give the error instead of setting it. */
#define ALLOCATE(name, type) \
  int name(int fd, type place, type size) { \
    REAL(name); \
    if (judge(#name, MAKE, fd, NULL) == FAIL) return error_number; \
    return real(fd, place, size); \
  }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)
