/*
 * A faulty disk, for glibc's dynamic linker on 64-bit Linux (see faulty-disk.ts, which compiles and controls it):
 *
 *   cc -shared -fPIC -O2 -pthread -o faulty-disk.so faulty-disk.c
 *   LD_PRELOAD=faulty-disk.so FAULTY_DISK_FOLDER=… FAULTY_DISK_CONTROL=… [FAULTY_DISK_LOG=…] program
 *
 * What the program writes and syncs below FAULTY_DISK_FOLDER (an absolute path without symbolic links) fails or waits
 * as the control file says, which is read at each call, so that it works at once:
 *
 *   generation=N         another number than before: the counts below begin anew
 *   fsync_delay_ms=MS    each sync takes so much longer
 *   fsync_errno=ERRNO    syncs fail, the next fsync_count=N of them only if that is there
 *   write_errno=ERRNO    writes fail, likewise with write_count=N
 *   hang=1               syncs wait until this is gone
 *
 * What succeeded is appended to FAULTY_DISK_LOG (outside the folder), in the order in which it happened; and that a sync
 * failed. See `struct record`. Files called *-shm, which SQLite maps into memory and makes anew after a power cut, are
 * left alone. Not seen: maps, fallocate, copy_file_range, sendfile, and what stdio opens.
 *
 * Which file a descriptor is for is asked of the kernel each time: so duplicated and reused ones need no care, and what
 * is no file below the folder costs one readlink. The calls go straight to the kernel, and not to the C library's own
 * functions, which need not be found first and so can be called at any time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "offsets are one argument of a system call only on 64-bit machines");

/* The head of a record of the log, in the machine's byte order; behind it the name and the data. */
struct record {
  /*
   * w written, at `offset`; t truncated to `offset`; c created or found; u unlinked; r renamed, `data` is its new name;
   * s synced, e a sync that failed: what was logged before byte `offset` of the log; m a mark, by others.
   */
  uint16_t kind;
  uint16_t name_length; /* of its path in the folder; 0 for the folder itself */
  uint32_t data_length;
  uint64_t offset;
};

struct control {
  long generation, fsync_delay_ms, fsync_errno, fsync_count, write_errno, write_count, hang;
};

static const char *folder, *control_path;
static size_t folder_length;
static int log_fd = -1;
/* Held from a write to the end of its record: the log has the order in which the writes happened. Never while waiting. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t counts = PTHREAD_MUTEX_INITIALIZER;
static long counted_generation = -1, fsyncs_left, writes_left;

__attribute__((constructor)) static void set_up(void) {
  folder = getenv("FAULTY_DISK_FOLDER");
  control_path = getenv("FAULTY_DISK_CONTROL");
  const char *log = getenv("FAULTY_DISK_LOG");
  folder_length = folder == NULL ? 0 : strlen(folder);
  if (log == NULL) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  /* A shell takes the small numbers for itself, whether they are in use or not. */
  log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 800);
  if (log_fd < 0) abort();
  syscall(SYS_close, fd);
}

/* Cuts the folder off a path. Returns NULL for a path outside it, and for a file that is left alone. */
static const char *name_in_folder(char *path) {
  if (folder_length == 0 || strncmp(path, folder, folder_length) != 0) return NULL;
  char *name = path + folder_length;
  if (*name == '\0') return name;
  if (*name++ != '/') return NULL;
  size_t length = strlen(name);
  if (length >= 4 && strcmp(name + length - 4, "-shm") == 0) return NULL;
  return name;
}

/* The name of an open file below the folder. `buffer` has PATH_MAX bytes. */
static const char *name_of(int fd, char *buffer) {
  static const char GONE[] = " (deleted)";
  const size_t gone = sizeof GONE - 1;
  if (folder_length == 0) return NULL;
  int saved = errno;
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, buffer, PATH_MAX - 1);
  errno = saved;
  if (length <= 0) return NULL;
  buffer[length] = '\0';
  /* What has no name any more is lost at a power cut. */
  if ((size_t)length > gone && strcmp(buffer + length - gone, GONE) == 0) return NULL;
  return name_in_folder(buffer);
}

/* The name of a path, whose last part need not exist. `buffer` has 2 * PATH_MAX bytes. */
static const char *name_of_path(int at, const char *path, char *buffer) {
  if (folder_length == 0 || strlen(path) >= PATH_MAX) return NULL;
  int saved = errno;
  const char *slash = strrchr(path, '/');
  const char *last = slash == NULL ? path : slash + 1;
  char parent[PATH_MAX] = ".";
  if (slash != NULL) snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  int fd = (int)syscall(SYS_openat, at, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  const char *name = NULL;
  if (fd >= 0) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    syscall(SYS_close, fd);
    if (length > 0) {
      snprintf(buffer + length, 2 * PATH_MAX - (size_t)length, "/%s", last);
      name = name_in_folder(buffer);
    }
  }
  errno = saved;
  return name;
}

static uint64_t log_size(void) {
  struct stat status;
  return log_fd >= 0 && fstat(log_fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* Appends a record by one write, which the kernel keeps whole among those of other processes. */
static void append(char kind, const char *name, const void *data, size_t length, uint64_t offset) {
  if (log_fd < 0) return;
  int saved = errno;
  struct record head = {(uint16_t)kind, (uint16_t)strlen(name), (uint32_t)length, offset};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)name, head.name_length}, {(void *)data, length}};
  /* A log that cannot be written would be a test that proves nothing. */
  if (syscall(SYS_writev, log_fd, parts, 3) != (long)(sizeof head + head.name_length + length)) abort();
  errno = saved;
}

static struct control read_control(void) {
  struct control found = {.fsync_count = -1, .write_count = -1};
  int saved = errno;
  char text[1024];
  int fd = control_path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, control_path, O_RDONLY | O_CLOEXEC, 0);
  if (fd >= 0) {
    ssize_t length = read(fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[length < 0 ? 0 : length] = '\0';
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
      sscanf(line, "generation=%ld", &found.generation);
      sscanf(line, "fsync_delay_ms=%ld", &found.fsync_delay_ms);
      sscanf(line, "fsync_errno=%ld", &found.fsync_errno);
      sscanf(line, "fsync_count=%ld", &found.fsync_count);
      sscanf(line, "write_errno=%ld", &found.write_errno);
      sscanf(line, "write_count=%ld", &found.write_count);
      sscanf(line, "hang=%ld", &found.hang);
    }
  }
  errno = saved;
  return found;
}

/* Whether this call fails: takes one off a count, where there is one. */
static int takes_fault(const struct control *now, long error, long *left) {
  pthread_mutex_lock(&counts);
  if (counted_generation != now->generation) {
    counted_generation = now->generation;
    fsyncs_left = now->fsync_count;
    writes_left = now->write_count;
  }
  int fails = error != 0 && *left != 0;
  if (fails && *left > 0) --*left;
  pthread_mutex_unlock(&counts);
  return fails;
}

static void rest_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&time, &time) != 0 && errno == EINTR);
}

static int sync_file(int fd, long call) {
  char buffer[PATH_MAX];
  const char *name = name_of(fd, buffer);
  if (name == NULL) return (int)syscall(call, fd);
  uint64_t before = log_size();
  struct control now = read_control();
  while (now.hang != 0) {
    rest_ms(5);
    now = read_control();
  }
  if (now.fsync_delay_ms > 0) rest_ms(now.fsync_delay_ms);
  int fails = takes_fault(&now, now.fsync_errno, &fsyncs_left);
  int result = fails ? -1 : (int)syscall(call, fd);
  if (fails) errno = (int)now.fsync_errno;
  append(result == 0 ? 's' : 'e', name, NULL, 0, before);
  return result;
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

/* Whether a write to this file fails now. */
static int refuses(void) {
  struct control now = read_control();
  if (!takes_fault(&now, now.write_errno, &writes_left)) return 0;
  errno = (int)now.write_errno;
  return 1;
}

/* Writes at the file's own position, which is its end where it was opened to append. */
ssize_t write(int fd, const void *data, size_t length) {
  char buffer[PATH_MAX];
  const char *name = name_of(fd, buffer);
  if (name == NULL) return syscall(SYS_write, fd, data, length);
  if (refuses()) return -1;
  pthread_mutex_lock(&order);
  ssize_t written = syscall(SYS_write, fd, data, length);
  if (written > 0) append('w', name, data, (size_t)written, (uint64_t)(lseek(fd, 0, SEEK_CUR) - written));
  pthread_mutex_unlock(&order);
  return written;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  char buffer[PATH_MAX];
  const char *name = name_of(fd, buffer);
  if (name == NULL) return syscall(SYS_pwrite64, fd, data, length, offset);
  if (refuses()) return -1;
  pthread_mutex_lock(&order);
  ssize_t written = syscall(SYS_pwrite64, fd, data, length, offset);
  if (written > 0) append('w', name, data, (size_t)written, (uint64_t)offset);
  pthread_mutex_unlock(&order);
  return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

/* Several pieces are written one by one, until one is not written whole. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
  char buffer[PATH_MAX];
  if (name_of(fd, buffer) == NULL) return syscall(SYS_writev, fd, parts, count);
  ssize_t total = 0;
  for (int part = 0; part < count; part++) {
    ssize_t written = write(fd, parts[part].iov_base, parts[part].iov_len);
    if (written < 0) return total > 0 ? total : -1;
    total += written;
    if ((size_t)written < parts[part].iov_len) break;
  }
  return total;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  char buffer[PATH_MAX];
  if (name_of(fd, buffer) == NULL) return syscall(SYS_pwritev, fd, parts, count, offset, 0);
  ssize_t total = 0;
  for (int part = 0; part < count; part++) {
    ssize_t written = pwrite64(fd, parts[part].iov_base, parts[part].iov_len, offset + total);
    if (written < 0) return total > 0 ? total : -1;
    total += written;
    if ((size_t)written < parts[part].iov_len) break;
  }
  return total;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t length) {
  char buffer[PATH_MAX];
  const char *name = name_of(fd, buffer);
  if (name == NULL) return (int)syscall(SYS_ftruncate, fd, length);
  if (refuses()) return -1;
  pthread_mutex_lock(&order);
  int result = (int)syscall(SYS_ftruncate, fd, length);
  if (result == 0) append('t', name, NULL, 0, (uint64_t)length);
  pthread_mutex_unlock(&order);
  return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int open_file(int at, const char *path, int flags, mode_t mode) {
  char buffer[2 * PATH_MAX];
  const char *name = (flags & (O_CREAT | O_TRUNC)) == 0 ? NULL : name_of_path(at, path, buffer);
  if (name == NULL) return (int)syscall(SYS_openat, at, path, flags, mode);
  pthread_mutex_lock(&order);
  int fd = (int)syscall(SYS_openat, at, path, flags, mode);
  if (fd >= 0) append('c', name, NULL, 0, 0);
  if (fd >= 0 && (flags & O_TRUNC) != 0) append('t', name, NULL, 0, 0);
  pthread_mutex_unlock(&order);
  return fd;
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

int unlinkat(int at, const char *path, int flags) {
  char buffer[2 * PATH_MAX];
  const char *name = flags == 0 ? name_of_path(at, path, buffer) : NULL;
  if (name == NULL) return (int)syscall(SYS_unlinkat, at, path, flags);
  pthread_mutex_lock(&order);
  int result = (int)syscall(SYS_unlinkat, at, path, flags);
  if (result == 0) append('u', name, NULL, 0, 0);
  pthread_mutex_unlock(&order);
  return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

/* What comes from outside is seen as a file without content; what goes there as one that is gone. */
int rename(const char *from, const char *to) {
  char buffer[2 * PATH_MAX], to_buffer[2 * PATH_MAX];
  const char *name = name_of_path(AT_FDCWD, from, buffer), *to_name = name_of_path(AT_FDCWD, to, to_buffer);
  if (name == NULL && to_name == NULL) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  pthread_mutex_lock(&order);
  int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  if (result == 0 && to_name == NULL) append('u', name, NULL, 0, 0);
  else if (result == 0 && name == NULL) append('c', to_name, NULL, 0, 0);
  else if (result == 0) append('r', name, to_name, strlen(to_name), 0);
  pthread_mutex_unlock(&order);
  return result;
}
