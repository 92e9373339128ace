/* Uses what a command has: arguments, variables, files, streams and clocks. `command.rs` and `command.js` do the same. */

#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(4);
}

static size_t read_all(FILE *from, char *to, size_t most) {
    size_t size = fread(to, 1, most - 1, from);
    to[size] = 0;
    return size;
}

static int by_name(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static void list(const char *folder) {
    char *names[100];
    size_t count = 0;
    DIR *opened = opendir(folder);
    if (opened == NULL)
        fail("opendir");
    for (struct dirent *entry; (entry = readdir(opened)) != NULL && count < 100;)
        if (entry->d_name[0] != '.')
            names[count++] = strdup(entry->d_name);
    closedir(opened);
    qsort(names, count, sizeof names[0], by_name);
    printf("names:");
    for (size_t at = 0; at < count; at++)
        printf(" %s", names[at]);
    printf("\n");
}

int main(int count, char **arguments) {
    static char text[1 << 16];
    printf("arguments:");
    for (int at = 1; at < count; at++)
        printf(" %s", arguments[at]);
    printf("\nvariable: %s\n", getenv("GREETING"));
    read_all(stdin, text, sizeof text);
    printf("input: %s\n", text);

    FILE *file = fopen("/d/in.txt", "r");
    if (file == NULL)
        fail("in.txt");
    size_t size = read_all(file, text, sizeof text);
    fclose(file);
    for (size_t at = 0; at < size; at++)
        text[at] = (char)toupper((unsigned char)text[at]);
    FILE *made = fopen("/d/out.txt", "w");
    if (made == NULL || fwrite(text, 1, size, made) != size || fclose(made) != 0)
        fail("out.txt");
    list("/d");
    printf("outside: %s\n", fopen("/d/../secret.txt", "r") == NULL ? "refused" : "opened");

    printf("time: %lld\n", (long long)time(NULL));
    struct timespec before, after, hour = {.tv_sec = 3600};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&hour, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("slept: %lld\n", (long long)(after.tv_sec - before.tv_sec));
    fprintf(stderr, "done\n");
    return count > 1 && strcmp(arguments[1], "fail") == 0;
}
