/* The functions of WASI that guests in C call by the canonical ABI, and what their results look like. */

#pragma once

#include <stddef.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define TYPES "wasi:http/types@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"

typedef int32_t handle;

/* A string or list of bytes as the host writes it. */
typedef struct {
    char *at;
    size_t size;
} bytes;

IMPORT(TYPES, "[constructor]fields") handle new_fields(void);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void path_with_query(handle request, void *result);
IMPORT(TYPES, "[method]incoming-request.consume") void consume_request(handle request, void *result);
IMPORT(TYPES, "[resource-drop]incoming-request") void drop_request(handle request);
IMPORT(TYPES, "[constructor]outgoing-response") handle new_response(handle headers);
IMPORT(TYPES, "[method]outgoing-response.set-status-code") int32_t set_status(handle response, int32_t status);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle response, void *result);
IMPORT(TYPES, "[static]response-outparam.set")
void set_response(handle out, int32_t is_error, int32_t response, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void write_body(handle body, void *result);
IMPORT(TYPES, "[static]outgoing-body.finish")
void finish_body(handle body, int32_t has_trailers, handle trailers, void *result);
IMPORT(TYPES, "[method]incoming-body.stream") void read_body(handle body, void *result);
IMPORT(TYPES, "[resource-drop]incoming-body") void drop_body(handle body);
IMPORT(TYPES, "[constructor]outgoing-request") handle new_request(handle headers);
IMPORT(TYPES, "[method]outgoing-request.set-scheme")
int32_t set_scheme(handle request, int32_t is_some, int32_t scheme, const char *text, size_t size);
IMPORT(TYPES, "[method]outgoing-request.set-authority")
int32_t set_authority(handle request, int32_t is_some, const char *text, size_t size);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query")
int32_t set_path(handle request, int32_t is_some, const char *text, size_t size);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") handle subscribe(handle future);
IMPORT(TYPES, "[method]future-incoming-response.get") void get_response(handle future, void *result);
IMPORT(TYPES, "[resource-drop]future-incoming-response") void drop_future(handle future);
IMPORT(TYPES, "[method]incoming-response.status") int32_t status_of(handle response);
IMPORT(TYPES, "[method]incoming-response.consume") void consume_response(handle response, void *result);
IMPORT(TYPES, "[resource-drop]incoming-response") void drop_response(handle response);
IMPORT("wasi:http/outgoing-handler@0.2.0", "handle")
void send_request(handle request, int32_t has_options, handle options, void *result);
IMPORT("wasi:io/poll@0.2.0", "[method]pollable.block") void block(handle pollable);
IMPORT("wasi:io/poll@0.2.0", "[resource-drop]pollable") void drop_pollable(handle pollable);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void read_piece(handle stream, int64_t size, void *result);
IMPORT(STREAMS, "[resource-drop]input-stream") void drop_input(handle stream);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void write_piece(handle stream, const char *at, size_t size, void *result);
IMPORT(STREAMS, "[resource-drop]output-stream") void drop_output(handle stream);

enum { HTTP = 0 };

/* The value of a `result` whose payload has an alignment of 4 bytes; traps if it is an error. */
static inline handle ok(const int32_t *result) {
    if ((result[0] & 0xff) != 0)
        __builtin_trap();
    return result[1];
}

static inline handle call(void (*function)(handle, void *), handle target) {
    int32_t result[4];
    function(target, result);
    return ok(result);
}
