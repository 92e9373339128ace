/* A command that asks a server: `ask HOST:PORT /PATH` prints the status and the body of the answer.
 *
 * It also writes the body to `/d/answer.txt` if there is a directory `/d`, its input and the variable GREETING to the
 * standard output, and a line to the standard error. The status is 1 if it may not ask, or gets no answer.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../http_c/wasi_http.h"

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size) {
    (void)old_size, (void)alignment;
    return realloc(old, size);
}

/* The future of the answer, or -1. */
static handle ask(const char *authority, const char *path) {
    _Alignas(8) int32_t result[16];
    handle request = new_request(new_fields());
    set_scheme(request, 1, HTTP, NULL, 0);
    if (set_authority(request, 1, authority, strlen(authority)) != 0 || set_path(request, 1, path, strlen(path)) != 0)
        return -1;
    send_request(request, 0, 0, result);
    return (result[0] & 0xff) == 0 ? result[2] : -1;
}

static void copy(handle body, FILE *to, FILE *also) {
    handle input = call(read_body, body);
    for (;;) {
        int32_t result[3];
        read_piece(input, 4096, result);
        if ((result[0] & 0xff) != 0)
            break;
        fwrite((const char *)result[1], 1, (size_t)result[2], to);
        if (also != NULL)
            fwrite((const char *)result[1], 1, (size_t)result[2], also);
        free((void *)result[1]);
    }
    drop_input(input);
    drop_body(body);
}

int main(int count, char **arguments) {
    static char text[1 << 16];
    const char *greeting = getenv("GREETING");
    printf("variable: %s\n", greeting == NULL ? "" : greeting);
    text[fread(text, 1, sizeof text - 1, stdin)] = 0;
    printf("input: %s\n", text);
    fprintf(stderr, "asking\n");

    handle future = count == 3 ? ask(arguments[1], arguments[2]) : -1;
    if (future == -1) {
        printf("refused\n");
        return 1;
    }
    handle pollable = subscribe(future);
    block(pollable);
    drop_pollable(pollable);
    /* option at 0, result at 8, result at 16, response at 24 */
    _Alignas(8) int32_t result[16];
    get_response(future, result);
    int failed = (result[4] & 0xff) != 0;
    if (failed) {
        printf("failed\n");
    } else {
        handle response = result[6];
        FILE *made = fopen("/d/answer.txt", "w");
        printf("status: %d\n", status_of(response));
        copy(call(consume_response, response), stdout, made);
        drop_response(response);
        if (made != NULL)
            fclose(made);
    }
    drop_future(future);
    return failed;
}
