/* What a call or a command costs where this is started.
 *
 *   inside calls FILE      getppid, read, ioctl, openat, stat: nanoseconds a call, medians of batches
 *   inside clock COMMAND   milliseconds of a command
 *   inside forks N         milliseconds of so many times /bin/true
 *   inside usage COMMAND   processor time in milliseconds and peak memory in MiB of a command, with all it waited for
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 31, CALLS = 4000 };

static int zero;
static const char *deep;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void parent(void) { syscall(SYS_getppid); }
static void byte(void) { char c; if (read(zero, &c, 1) != 1) abort(); }
static void terminal(void) { struct termios t; if (ioctl(zero, TCGETS, &t) == 0) abort(); }
static void opened(void) { int fd = open(deep, O_RDONLY | O_CLOEXEC); if (fd < 0) abort(); close(fd); }
static void looked(void) { struct stat s; if (stat(deep, &s)) abort(); }

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(void (*call)(void)) {
    double times[BATCHES];
    for (int batch = 0; batch < BATCHES; batch++) {
        double begun = now();
        for (int i = 0; i < CALLS; i++) call();
        times[batch] = (now() - begun) / CALLS;
    }
    qsort(times, BATCHES, sizeof *times, by_value);
    return times[BATCHES / 2];
}

static int run(char **argv, struct rusage *used) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execvp(*argv, argv);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, used) < 0) exit(1);
    return status;
}

int main(int argc, char **argv) {
    struct rusage used;
    if (argc < 3) return 2;
    double begun = now();
    if (!strcmp(argv[1], "calls")) {
        deep = argv[2];
        zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        printf("%f %f %f %f %f\n", median(parent), median(byte), median(terminal), median(opened), median(looked));
    } else if (!strcmp(argv[1], "clock")) {
        if (run(argv + 2, &used)) return 1;
        printf("%f\n", (now() - begun) / 1e6);
    } else if (!strcmp(argv[1], "forks")) {
        char *true_[] = {"/bin/true", NULL};
        for (int i = atoi(argv[2]); i > 0; i--) if (run(true_, &used)) return 1;
        printf("%f\n", (now() - begun) / 1e6);
    } else if (!strcmp(argv[1], "usage")) {
        if (run(argv + 2, &used)) return 1;
        double time = used.ru_utime.tv_sec * 1e3 + used.ru_utime.tv_usec / 1e3 + used.ru_stime.tv_sec * 1e3 + used.ru_stime.tv_usec / 1e3;
        printf("%f %f\n", time, used.ru_maxrss / 1024.0);
    }
    return 0;
}
