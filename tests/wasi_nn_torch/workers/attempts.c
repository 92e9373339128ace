/* What native code in a worker could attempt. Each function returns 0 if it succeeds, and otherwise the error code. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct aim {
    const char *file;      /* a file that exists */
    const char *new_file;  /* a file that does not */
    const char *directory; /* where both are */
    const char *abstract;  /* the name of a socket that listens in the abstract namespace */
    const char *path;      /* the path of a socket that listens */
    int port;              /* a port of this machine that listens */
    int victim;            /* another process */
};

#define TRY(call) return (call) < 0 ? errno : 0

/* --- files --- */

int opening_a_file(const struct aim *aim) { TRY(open(aim->file, O_RDONLY)); }
int writing_a_file(const struct aim *aim) { TRY(open(aim->file, O_WRONLY)); }
int creating_a_file(const struct aim *aim) { TRY(open(aim->new_file, O_CREAT | O_WRONLY, 0600)); }
int opening_by_openat2(const struct aim *aim) {
    struct { unsigned long long flags, mode, resolve; } how = {O_RDONLY, 0, 0};
    TRY(syscall(437, AT_FDCWD, aim->file, &how, sizeof how));
}
int truncating_a_file(const struct aim *aim) { TRY(truncate(aim->file, 1)); }
int looking_at_a_file(const struct aim *aim) { struct stat found; TRY(stat(aim->file, &found)); }
int removing_a_file(const struct aim *aim) { TRY(unlink(aim->file)); }
int moving_a_file(const struct aim *aim) { TRY(rename(aim->file, aim->new_file)); }
int linking_a_file(const struct aim *aim) { TRY(link(aim->file, aim->new_file)); }
int making_a_directory(const struct aim *aim) { TRY(mkdir(aim->new_file, 0700)); }
int listing_a_directory(const struct aim *aim) {
    char entries[4096];
    int directory = open(aim->directory, O_RDONLY | O_DIRECTORY);
    if (directory < 0) return errno;
    TRY(syscall(SYS_getdents64, directory, entries, sizeof entries));
}
int changing_the_directory(const struct aim *aim) { TRY(chdir(aim->directory)); }
static int open_of(const char *pattern, int process, int flags) {
    char path[64];
    snprintf(path, sizeof path, pattern, process);
    TRY(open(path, flags));
}
int opening_the_memory_of_another(const struct aim *aim) { return open_of("/proc/%d/mem", aim->victim, O_RDWR); }
int opening_its_own_memory(const struct aim *aim) { return open_of("/proc/self/mem", 0, O_RDWR); }
int reading_the_environment_of_another(const struct aim *aim) {
    return open_of("/proc/%d/environ", aim->victim, O_RDONLY);
}
int reading_the_environment_at_its_start(const struct aim *aim) { return open_of("/proc/self/environ", 0, O_RDONLY); }

/* --- network --- */

int making_a_socket(const struct aim *aim) { TRY(socket(AF_INET, SOCK_STREAM, 0)); }
int making_a_pair_of_sockets(const struct aim *aim) { int pair[2]; TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)); }
int making_a_netlink_socket(const struct aim *aim) { TRY(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int reach(int family, const void *address, socklen_t size) {
    int end = socket(family, SOCK_STREAM, 0);
    if (end < 0) return errno;
    TRY(connect(end, address, size));
}
int connecting_to_a_port(const struct aim *aim) {
    struct sockaddr_in there = {AF_INET, htons(aim->port), {htonl(INADDR_LOOPBACK)}};
    return reach(AF_INET, &there, sizeof there);
}
int listening_on_a_port(const struct aim *aim) {
    struct sockaddr_in here = {AF_INET, htons(0), {htonl(INADDR_LOOPBACK)}};
    int end = socket(AF_INET, SOCK_STREAM, 0);
    if (end < 0 || bind(end, (void *)&here, sizeof here)) return errno;
    TRY(listen(end, 1));
}
int connecting_to_an_abstract_socket(const struct aim *aim) {
    struct sockaddr_un there = {AF_UNIX};
    strncpy(there.sun_path + 1, aim->abstract, sizeof there.sun_path - 2);
    return reach(AF_UNIX, &there, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(aim->abstract));
}
int connecting_to_a_socket_with_a_path(const struct aim *aim) {
    struct sockaddr_un there = {AF_UNIX};
    strncpy(there.sun_path, aim->path, sizeof there.sun_path - 1);
    return reach(AF_UNIX, &there, sizeof there);
}

/* --- processes --- */

static int end_of(long process) {
    if (process == 0) _exit(0);
    TRY(process);
}
int executing_a_program(const struct aim *aim) {
    char *arguments[] = {"true", NULL}, *environment[] = {NULL};
    TRY(execve("/bin/true", arguments, environment));
}
int executing_by_execveat(const struct aim *aim) {
    char *arguments[] = {"true", NULL}, *environment[] = {NULL};
    TRY(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, environment, 0));
}
int forking(const struct aim *aim) { return end_of(fork()); }
int forking_by_vfork(const struct aim *aim) { return end_of(vfork()); }
int cloning_a_process(const struct aim *aim) { return end_of(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }
int cloning_by_clone3(const struct aim *aim) {
    unsigned long long arguments[8] = {0, 0, 0, 0, SIGCHLD};
    return end_of(syscall(SYS_clone3, arguments, sizeof arguments));
}
static int sleeping(void *unused) { return 0; }
int cloning_a_process_with_its_memory(const struct aim *aim) {
    static char stack[1 << 16];
    TRY(clone(sleeping, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
}
int signalling_another(const struct aim *aim) { TRY(kill(aim->victim, 0)); }
int signalling_a_thread_of_another(const struct aim *aim) { TRY(syscall(SYS_tgkill, aim->victim, aim->victim, 0)); }
int queueing_a_signal_for_another(const struct aim *aim) { union sigval none = {0}; TRY(sigqueue(aim->victim, 0, none)); }
int tracing_another(const struct aim *aim) { TRY(ptrace(PTRACE_SEIZE, aim->victim, 0, 0)); }
static int secret;
int reading_the_memory_of_another(const struct aim *aim) {
    int found;
    struct iovec here = {&found, sizeof found}, there = {&secret, sizeof secret};
    TRY(process_vm_readv(aim->victim, &here, 1, &there, 1, 0));
}
int writing_the_memory_of_another(const struct aim *aim) {
    struct iovec here = {&secret, sizeof secret}, there = {&secret, sizeof secret};
    TRY(process_vm_writev(aim->victim, &here, 1, &there, 1, 0));
}
int getting_a_descriptor_of_another(const struct aim *aim) { TRY(syscall(SYS_pidfd_open, aim->victim, 0)); }
int limiting_another(const struct aim *aim) {
    struct rlimit found;
    TRY(prlimit(aim->victim, RLIMIT_NOFILE, NULL, &found));
}
int moving_another_to_a_processor(const struct aim *aim) {
    cpu_set_t all;
    if (sched_getaffinity(aim->victim, sizeof all, &all) < 0) return errno;
    TRY(sched_setaffinity(aim->victim, sizeof all, &all));
}
int ranking_another(const struct aim *aim) { TRY(setpriority(PRIO_PROCESS, aim->victim, 1)); }
int owning_signals_of_a_descriptor(const struct aim *aim) { TRY(fcntl(0, F_SETOWN, aim->victim)); }

/* --- the kernel --- */

int raising_its_own_limits(const struct aim *aim) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return errno;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
}
int making_a_file_in_memory(const struct aim *aim) { TRY(syscall(SYS_memfd_create, "memory", 0)); }
int sharing_memory_by_key(const struct aim *aim) { TRY(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600)); }
static int map(int flags) {
    TRY((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0));
}
int mapping_shared_memory_of_its_own(const struct aim *aim) { return map(MAP_SHARED); }
int mapping_memory_that_grows_downwards(const struct aim *aim) { return map(MAP_PRIVATE | MAP_GROWSDOWN); }
int mapping_locked_memory(const struct aim *aim) { return map(MAP_PRIVATE | MAP_LOCKED); }
int making_a_ring_of_requests(const struct aim *aim) { char parameters[120] = {0}; TRY(syscall(425, 1, parameters)); }
int loading_into_the_kernel(const struct aim *aim) {
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    TRY(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
}
int counting_events(const struct aim *aim) {
    struct perf_event_attr event = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_DUMMY, .exclude_kernel = 1};
    TRY(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}
int handling_faults_of_pages(const struct aim *aim) { TRY(syscall(SYS_userfaultfd, 1)); }
int reading_keys(const struct aim *aim) { TRY(syscall(SYS_keyctl, 0, -1, 1)); }
int leaving_the_namespace(const struct aim *aim) { TRY(unshare(CLONE_NEWUSER)); }
int changing_the_root(const struct aim *aim) { TRY(chroot(aim->directory)); }
int changing_the_personality(const struct aim *aim) { TRY(personality(0xffffffff)); }
int changing_the_user(const struct aim *aim) { TRY(setuid(getuid())); }
int making_a_pipe(const struct aim *aim) { int ends[2]; TRY(pipe(ends)); }
int making_a_queue(const struct aim *aim) { TRY(syscall(SYS_eventfd2, 0, 0)); }
int controlling_a_device(const struct aim *aim) { TRY(ioctl(0, FIOCLEX)); }

/* --- what a worker may do --- */

static void *work(void *result) { *(int *)result = 1; return NULL; }
int running_a_thread(const struct aim *aim) {
    pthread_t thread;
    int result = 0, failure = pthread_create(&thread, NULL, work, &result);
    if (!failure) failure = pthread_join(thread, NULL);
    return failure ? failure : result ? 0 : EINVAL;
}
int reading_the_clock(const struct aim *aim) { struct timespec now; TRY(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now)); }
int drawing_random_bytes(const struct aim *aim) { char bytes[8]; TRY(syscall(SYS_getrandom, bytes, sizeof bytes, 0)); }
int mapping_private_memory(const struct aim *aim) { return map(MAP_PRIVATE); }
int mapping_code(const struct aim *aim) {
    void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) return errno;
    TRY(mprotect(code, 4096, PROT_READ | PROT_EXEC));
}
int reading_its_own_limits(const struct aim *aim) { struct rlimit found; TRY(getrlimit(RLIMIT_DATA, &found)); }
int handling_a_signal(const struct aim *aim) { TRY(signal(SIGUSR1, SIG_IGN) == SIG_ERR ? -1 : raise(SIGUSR1)); }

/* --- from a thread, and in other manners --- */

struct call { int (*attempt)(const struct aim *); const struct aim *aim; int result; };
static void *make(void *given) {
    struct call *call = given;
    call->result = call->attempt(call->aim);
    return NULL;
}
int in_a_thread(int (*attempt)(const struct aim *), const struct aim *aim) {
    struct call call = {attempt, aim, -1};
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, make, &call);
    if (!failure) failure = pthread_join(thread, NULL);
    return failure ? failure : call.result;
}

#ifdef __x86_64__
/* getpid, as 32-bit programs call it. */
int as_32_bit(void) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
    return result > 0 ? 0 : -result;
}
/* getpid, as programs of the x32 ABI call it. */
int as_x32(void) { TRY(syscall(0x40000000 + SYS_getpid)); }
#endif

/* --- using up --- */

long allocate(long bytes) {
    char *memory = malloc(bytes);
    if (!memory) return errno;
    for (long at = 0; at < bytes; at += 4096) memory[at] = 1;
    free(memory);
    return 0;
}
void loop(void) { for (;;) __asm__ volatile(""); }
int write_to(int descriptor) { TRY(write(descriptor, "12345678", 8)); }
