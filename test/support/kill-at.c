/*
 * Ends a program by SIGKILL just before its nth write, for glibc's dynamic linker on 64-bit Linux (see kill-at.ts, which
 * compiles it):
 *
 *   cc -shared -fPIC -O2 -o kill-at.so kill-at.c
 *   LD_PRELOAD=kill-at.so KILL_AT=N KILL_AT_COUNT=FILE program
 *
 * A write is a call that others can see afterwards: it changes a file or the names in a folder, syncs one, or connects or
 * sends by TCP or UDP. What goes to pipes, terminals and the program's own threads is none. With KILL_AT=0 the program is
 * not ended. KILL_AT_COUNT is a file that exists: how many calls there have been is in its first eight bytes.
 *
 * The calls go straight to the kernel, so that the C library's own functions need not be found first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "offsets are one argument of a system call only on 64-bit machines");

static long kill_at;
static _Atomic long *count;

__attribute__((constructor)) static void set_up(void) {
  const char *at = getenv("KILL_AT"), *file = getenv("KILL_AT_COUNT");
  if (at == NULL || file == NULL) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
  void *shared = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  /* A program that is never ended would be a test that proves nothing. */
  if (fd < 0 || shared == MAP_FAILED) abort();
  syscall(SYS_close, fd);
  kill_at = atol(at);
  count = shared;
}

/* Counts a call, and does not return from the nth. */
static void step(void) {
  if (count == NULL) return;
  if (atomic_fetch_add(count, 1) + 1 == kill_at) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}

static int is_network(int fd) {
  int domain;
  socklen_t length = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && (domain == AF_INET || domain == AF_INET6);
}

static void step_at(int fd) {
  struct stat status;
  if (count == NULL || fstat(fd, &status) != 0) return;
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || (S_ISSOCK(status.st_mode) && is_network(fd))) step();
}

#define STEP_AT(fd, call)  \
  do {                     \
    int saved = errno;     \
    step_at(fd);           \
    errno = saved;         \
    return call;           \
  } while (0)

ssize_t write(int fd, const void *data, size_t length) { STEP_AT(fd, syscall(SYS_write, fd, data, length)); }
ssize_t writev(int fd, const struct iovec *parts, int n) { STEP_AT(fd, syscall(SYS_writev, fd, parts, n)); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
  STEP_AT(fd, syscall(SYS_pwrite64, fd, data, length, at));
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) {
  STEP_AT(fd, syscall(SYS_pwritev, fd, parts, n, at, 0));
}
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) { return pwritev64(fd, parts, n, at); }
int ftruncate64(int fd, off64_t length) { STEP_AT(fd, (int)syscall(SYS_ftruncate, fd, length)); }
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int fsync(int fd) { STEP_AT(fd, (int)syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { STEP_AT(fd, (int)syscall(SYS_fdatasync, fd)); }

ssize_t send(int fd, const void *data, size_t length, int flags) {
  STEP_AT(fd, syscall(SYS_sendto, fd, data, length, flags, NULL, 0));
}
ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t size) {
  STEP_AT(fd, syscall(SYS_sendto, fd, data, length, flags, to, size));
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  STEP_AT(fd, syscall(SYS_sendmsg, fd, message, flags));
}
int connect(int fd, const struct sockaddr *to, socklen_t size) { STEP_AT(fd, (int)syscall(SYS_connect, fd, to, size)); }

int unlink(const char *path) {
  step();
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
int rename(const char *from, const char *to) {
  step();
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int open_file(int at, const char *path, int flags, mode_t mode) {
  if ((flags & (O_CREAT | O_TRUNC)) != 0) step();
  return (int)syscall(SYS_openat, at, path, flags, mode);
}

/* Only with these flags is there a mode. */
#define MODE(flags)                                                        \
  mode_t mode = 0;                                                         \
  if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) {    \
    va_list list;                                                          \
    va_start(list, flags);                                                 \
    mode = (mode_t)va_arg(list, unsigned);                                 \
    va_end(list);                                                          \
  }

int open(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_file(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_file(at, path, flags, mode); }
