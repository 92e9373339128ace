/* Answers requests of HTTP, without a library: calls the functions of WASI by the canonical ABI.
 *
 * `/proxy/HOST:PORT/REST` sends what `http://HOST:PORT/REST` has, as it arrives; `/echo` sends the body back; `/early`
 * says hello, and then reads the body; any other path says hello.
 */

#include <string.h>

#include "wasi_http.h"

enum { PIECE = 4096 };

static _Alignas(8) char memory[1 << 20];
static size_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size) {
    size_t at = (used + alignment - 1) & ~(alignment - 1);
    if (at + size > sizeof memory)
        __builtin_trap();
    used = at + size;
    if (old != NULL)
        memcpy(memory + at, old, old_size < size ? old_size : size);
    return memory + at;
}

/* A response whose body is a stream that is returned, and whose body is `*body`. */
static handle respond(handle out, int32_t status, handle *body) {
    handle response = new_response(new_fields());
    set_status(response, status);
    *body = call(response_body, response);
    handle stream = call(write_body, *body);
    set_response(out, 0, response, 0, 0, 0, 0, 0, 0);
    return stream;
}

static void finish(handle body, handle stream) {
    _Alignas(8) char result[48];
    drop_output(stream);
    finish_body(body, 0, 0, result);
    if (result[0] != 0)
        __builtin_trap();
}

static void put(handle stream, const char *at, size_t size) {
    int32_t result[3];
    for (size_t sent = 0; sent < size; sent += PIECE) {
        write_piece(stream, at + sent, size - sent < PIECE ? size - sent : PIECE, result);
        if ((result[0] & 0xff) != 0)
            __builtin_trap();
    }
}

static void say(handle out, int32_t status, const char *text) {
    handle body, stream = respond(out, status, &body);
    put(stream, text, strlen(text));
    finish(body, stream);
}

/* Sends all bytes of a body as the response. */
static void relay(handle out, int32_t status, handle from) {
    handle body, stream = respond(out, status, &body), input = call(read_body, from);
    for (;;) {
        int32_t result[3];
        used = 0;
        read_piece(input, PIECE, result);
        if ((result[0] & 0xff) != 0)
            break;
        put(stream, (const char *)result[1], (size_t)result[2]);
    }
    drop_input(input);
    drop_body(from);
    finish(body, stream);
}

/* Reads all bytes of a body, and drops them. */
static void drain(handle from) {
    handle input = call(read_body, from);
    int32_t result[3];
    do {
        used = 0;
        read_piece(input, PIECE, result);
    } while ((result[0] & 0xff) == 0);
    drop_input(input);
    drop_body(from);
}

static void proxy(handle out, const char *target, const char *end) {
    const char *path = target;
    while (path < end && *path != '/')
        path++;
    handle request = new_request(new_fields());
    set_scheme(request, 1, HTTP, NULL, 0);
    if (set_authority(request, 1, target, (size_t)(path - target)) != 0 ||
        set_path(request, 1, path, (size_t)(end - path)) != 0) {
        say(out, 400, "that is not a target");
        return;
    }
    _Alignas(8) int32_t result[16];
    send_request(request, 0, 0, result);
    if ((result[0] & 0xff) != 0) {
        say(out, 502, "the request is not allowed");
        return;
    }
    handle future = result[2], pollable = subscribe(future);
    block(pollable);
    drop_pollable(pollable);
    /* option at 0, result at 8, result at 16, response at 24 */
    get_response(future, result);
    if ((result[4] & 0xff) != 0) {
        say(out, 502, "the request failed");
    } else {
        handle response = result[6];
        relay(out, status_of(response), call(consume_response, response));
        drop_response(response);
    }
    drop_future(future);
}

static int begins(bytes text, const char *beginning) {
    size_t size = strlen(beginning);
    return text.size >= size && memcmp(text.at, beginning, size) == 0;
}

EXPORT("wasi:http/incoming-handler@0.2.0#handle") void answer(handle request, handle out) {
    static char target[4096];
    int32_t result[3] = {0};
    path_with_query(request, result);
    bytes path = {(char *)result[1], (size_t)result[2]};
    if (begins(path, "/proxy/") && path.size < sizeof target) {
        memcpy(target, path.at, path.size);
        proxy(out, target + strlen("/proxy/"), target + path.size);
    } else if (begins(path, "/echo")) {
        relay(out, 200, call(consume_request, request));
    } else {
        say(out, 200, "hello from C");
        if (begins(path, "/early"))
            drain(call(consume_request, request));
    }
    drop_request(request);
    used = 0;
}
