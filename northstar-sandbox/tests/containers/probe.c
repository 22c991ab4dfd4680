/* What a hostile or a measured program does inside a container, in as few instructions as
 * possible. Static, so that a root needs no library. Exit code 0: done as asked; 99: not. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* The classic way out of a chroot: a directory descriptor above the new root. */
static int escape(const char *below, const char *canary)
{
    int here = open(".", O_RDONLY | O_DIRECTORY);
    if (here < 0 || chroot(below) != 0 || fchdir(here) != 0)
        return 99;
    for (int i = 0; i < 64; i++)
        if (chdir("..") != 0)
            return 99;
    if (chroot(".") != 0)
        return 99;
    struct stat found;
    printf("%s\n", stat(canary, &found) == 0 ? "escaped" : "contained");
    return 0;
}

/* Every signal with its disposition; sigaction knows what a shell has changed. */
static int signals(void)
{
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 65; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            printf("%d not default\n", i);
        if (sigismember(&mask, i) == 1)
            printf("%d blocked\n", i);
    }
    mode_t mode = umask(0);
    printf("umask %04o\n", mode);
    return 0;
}

/* Files without any content, until there can be no more. */
static int fill(const char *directory)
{
    int made = 0;
    for (; made < 1000000; made++) {
        char name[300];
        snprintf(name, sizeof name, "%s/%d", directory, made);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    printf("%d %s\n", made, strerrorname_np(errno));
    return 0;
}

/* Pseudo terminals, until there can be no more. */
static int terminals(void)
{
    int made = 0;
    while (made < 10000 && open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0)
        made++;
    printf("%d %s\n", made, strerrorname_np(errno));
    return 0;
}

/* What process 1 looks like at the first moment this program has. */
static int init(void)
{
    static char status[8192], links[64][300];
    int fd = open("/proc/1/status", O_RDONLY);
    if (fd < 0 || read(fd, status, sizeof status - 1) <= 0)
        return 99;
    DIR *directory = opendir("/proc/1/fd");
    if (directory == NULL)
        return 99;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL && count < 64;)
        if (entry->d_name[0] != '.' &&
            readlinkat(dirfd(directory), entry->d_name, links[count], sizeof links[0] - 1) > 0)
            count++;
    fputs(status, stdout);
    for (int i = 0; i < count; i++)
        printf("link %s\n", links[i]);
    return 0;
}

/* Counts the descriptors that a pidfd gives away. */
static int stolen(int pidfd, int *last)
{
    int count = 0;
    for (int i = 0; i < 64; i++) {
        int fd = syscall(SYS_pidfd_getfd, pidfd, i, 0);
        if (fd >= 0 && ++count)
            last[i] = fd;
    }
    return count;
}

/* Takes what init has, and with that what the processes outside have that it leads to: by their
 * pidfd, or because they are at the other end of a socket. */
static int steal(void)
{
    int taken[64], more[64], outside = 0;
    memset(taken, -1, sizeof taken);
    int init = syscall(SYS_pidfd_open, 1, 0);
    if (init < 0)
        return 99;
    int inside = stolen(init, taken);
    for (int i = 0; i < 64; i++) {
        int peer = -1;
        socklen_t length = sizeof peer;
        if (taken[i] < 0)
            continue;
        outside += stolen(taken[i], more);
        /* SO_PEERPIDFD */
        if (getsockopt(taken[i], SOL_SOCKET, 77, &peer, &length) == 0)
            outside += stolen(peer, more);
    }
#ifdef __x86_64__
    /* The same call by the number of the other system call interface: -1 is EPERM. */
    long compat = 438;
    __asm__ volatile("int $0x80" : "+a"(compat) : "b"(init), "c"(0), "d"(0) : "memory");
    if ((int)compat >= 0)
        inside++;
#endif
    printf("%d of init, %d of others\n", inside, outside);
    return 0;
}

/* What the pidfd of the process at the other end of a socket gives away: its namespaces, its
 * descriptors, and by the answer to advice about a page that is never there, its memory. */
static int reach(int connection)
{
    int peer = -1, namespaces = 0, taken[64];
    socklen_t length = sizeof peer;
    /* SO_PEERPIDFD. A kernel without it leads nowhere. */
    int known = getsockopt(connection, SOL_SOCKET, 77, &peer, &length) == 0;
    for (int i = 1; known && i <= 10; i++)
        /* PIDFD_GET_CGROUP_NAMESPACE to PIDFD_GET_UTS_NAMESPACE */
        namespaces += ioctl(peer, _IO(0xff, i), 0) >= 0;
    struct iovec page = {(void *)0x1000, 4096};
    int advised = syscall(SYS_process_madvise, peer, &page, 1, MADV_COLD, 0);
    const char *memory = advised == 0 || errno == ENOMEM ? "memory" : "no memory";
    printf("%d namespaces, %d descriptors, %s\n", namespaces, stolen(peer, taken), memory);
    return 0;
}

/* Waits for SIGUSR1, and says whether somebody else has done anything to the standard input. */
static int observe(void)
{
    char events[4096];
    sigset_t awaited;
    int arrived, watch = inotify_init1(IN_NONBLOCK), before = fcntl(0, F_GETFL);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGUSR1);
    sigprocmask(SIG_BLOCK, &awaited, NULL);
    if (inotify_add_watch(watch, "/proc/self/fd/0", IN_ALL_EVENTS) < 0)
        return 99;
    printf("ready\n");
    fflush(stdout);
    sigwait(&awaited, &arrived);
    printf("%s, %s, %s\n", read(watch, events, sizeof events) > 0 ? "seen" : "unseen",
           fcntl(0, F_GETFL) == before ? "unchanged" : "changed",
           flock(0, LOCK_EX | LOCK_NB) == 0 ? "free" : "locked");
    return 0;
}

/* Does to the standard input what others could notice, and stays. */
static int meddle(void)
{
    if (write(0, "x", 1) != 1 || fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK) != 0)
        return 99;
    int own = open("/proc/self/fd/0", O_RDWR);
    if (flock(own, LOCK_EX | LOCK_NB) != 0)
        return 99;
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}

/* Opens the root directory of the file system that a directory is on, by its inode number. */
static int handle(const char *directory)
{
    /* FILEID_INO32_GEN: inode 2 of any generation. */
    struct { struct file_handle head; unsigned inode, generation; } root = {{8, 1}, 2, 0};
    int mount = open(directory, O_RDONLY | O_DIRECTORY);
    if (mount < 0)
        return 99;
    int opened = open_by_handle_at(mount, &root.head, O_RDONLY | O_DIRECTORY);
    printf("%s\n", opened < 0 ? strerrorname_np(errno) : "opened");
#ifdef __x86_64__
    /* The same call by the number of the other system call interface, where addresses are short: EFAULT at best. */
    long compat = 342;
    __asm__ volatile("int $0x80" : "+a"(compat) : "b"(mount), "c"(0), "d"(0) : "memory");
    printf("%s\n", strerrorname_np(-(int)compat));
#endif
    return 0;
}

/* Makes a stopped process 1 execute a system call with no valid argument, and returns what it gets. */
static long injected(long number)
{
    struct user_regs_struct before, regs;
    struct iovec all = {&before, sizeof before};
    if (ptrace(PTRACE_GETREGSET, 1, (void *)1, &all) != 0)
        return 1;
    regs = before;
    all.iov_base = &regs;
    /* It waits in a system call: the instruction that made it is right behind. */
#ifdef __x86_64__
    regs.rip -= 2;
    regs.rax = number;
    regs.orig_rax = -1;
    regs.rdi = -1;
#else
    regs.pc -= 4;
    regs.regs[8] = number;
    regs.regs[0] = -1;
#endif
    int status;
    if (ptrace(PTRACE_SETREGSET, 1, (void *)1, &all) != 0 || ptrace(PTRACE_SINGLESTEP, 1, 0, 0) != 0 ||
        waitpid(1, &status, 0) != 1 || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGSET, 1, (void *)1, &all) != 0)
        return 1;
#ifdef __x86_64__
    long result = regs.rax;
#else
    long result = regs.regs[0];
#endif
    all.iov_base = &before;
    return ptrace(PTRACE_SETREGSET, 1, (void *)1, &all) == 0 ? result : 1;
}

/* What process 1 can be made to do: EBADF is the kernel's answer, EPERM that of its filter. */
static int hijack(int count, char **names)
{
    static const struct { const char *name; long number; } calls[] = {
        {"openat", SYS_openat}, {"sendmsg", SYS_sendmsg}, {"sendmmsg", SYS_sendmmsg}, {"sendto", SYS_sendto},
        {"read", SYS_read}, {"setns", SYS_setns}, {"ioctl", SYS_ioctl}, {"pidfd_getfd", SYS_pidfd_getfd},
        {"execveat", SYS_execveat}, {"dup", SYS_dup}, {"splice", SYS_splice},
    };
    if (ptrace(PTRACE_ATTACH, 1, 0, 0) != 0 || waitpid(1, NULL, 0) != 1)
        return 99;
    for (int i = 0; i < count; i++)
        for (unsigned j = 0; j < sizeof calls / sizeof calls[0]; j++)
            if (strcmp(names[i], calls[j].name) == 0)
                printf("%s %s\n", names[i], strerrorname_np(-injected(calls[j].number)));
    return ptrace(PTRACE_DETACH, 1, 0, 0) == 0 ? 0 : 99;
}

/* Uses up limits that the kernel counts per user: as many waiting signals, bytes in a message queue
 * of 8 KiB messages and locked bytes as asked for. Says what was refused, and stays. */
static _Noreturn void use(int signals, int queue, int locked)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    int sent = 0;
    while (sent < signals && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0)
        sent++;
    printf("signals %s\n", sent == signals ? "ok" : strerrorname_np(errno));

    struct mq_attr attributes = {.mq_maxmsg = queue / 8192, .mq_msgsize = 8192};
    int opened = mq_open("/use", O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    printf("queue %s\n", opened >= 0 ? "ok" : strerrorname_np(errno));

    int shared = shmget(IPC_PRIVATE, locked, IPC_CREAT | 0600);
    int held = shared < 0 ? -1 : shmctl(shared, SHM_LOCK, NULL);
    printf("locked %s\n", held == 0 ? "ok" : strerrorname_np(errno));
    fflush(stdout);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "") == 0)
        return 0;
    if (strcmp(word, "exit") == 0 && argc > 2)
        return atoi(argv[2]);
    if (strcmp(word, "escape") == 0 && argc > 3)
        return escape(argv[2], argv[3]);
    if (strcmp(word, "signals") == 0)
        return signals();
    if (strcmp(word, "steal") == 0)
        return steal();
    if (strcmp(word, "observe") == 0)
        return observe();
    if (strcmp(word, "meddle") == 0)
        return meddle();
    if (strcmp(word, "reach") == 0 && argc > 2)
        return reach(atoi(argv[2]));
    if (strcmp(word, "fill") == 0 && argc > 2)
        return fill(argv[2]);
    if (strcmp(word, "terminals") == 0)
        return terminals();
    if (strcmp(word, "init") == 0)
        return init();
    if (strcmp(word, "open") == 0 && argc > 2) {
        int fd = open(argv[2], O_RDONLY);
        printf("%s\n", fd < 0 ? strerrorname_np(errno) : "opened");
        return 0;
    }
    if (strcmp(word, "keyring") == 0) {
        /* KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING, without creating one. */
        printf("%ld\n", syscall(SYS_keyctl, 0, -3, 0));
        return 0;
    }
    if (strcmp(word, "handle") == 0 && argc > 2)
        return handle(argv[2]);
    if (strcmp(word, "hijack") == 0)
        return hijack(argc - 2, argv + 2);
    if (strcmp(word, "use") == 0 && argc > 4)
        use(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    if (strcmp(word, "setuid") == 0 && argc > 2) {
        if (setresuid(atoi(argv[2]), atoi(argv[2]), atoi(argv[2])) != 0)
            return 99;
        printf("changed\n");
        fflush(stdout);
        pause();
    }
    if (strcmp(word, "pause") == 0) {
        printf("ready\n");
        fflush(stdout);
        for (;;)
            pause();
    }
    return 99;
}
