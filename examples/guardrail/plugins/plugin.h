/* The world `plug-in` for C, by hand: what a plug-in exports, and the part of wasi-nn that these plug-ins import.

   The names and the layouts are those of the canonical ABI. `wit-bindgen c` generates such a header for any world. */

#ifndef PLUGIN_H
#define PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NN "@0.2.0-rc-2024-10-28"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle;

typedef struct {
    const uint8_t *at;
    size_t length;
} bytes;

#define TEXT(literal) ((bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

/* --- wasi-nn --- */

enum tensor_type { FP16, FP32, FP64, BF16, U8, I32, I64 };

typedef struct {
    uint8_t failed;
    handle value; /* the resource, or the error */
} nn_result;

typedef struct {
    bytes name;
    handle tensor;
} named_tensor;

typedef struct {
    uint8_t failed;
    union {
        named_tensor *outputs;
        handle error;
    };
    size_t count;
} nn_outputs;

IMPORT("wasi:nn/tensor" NN, "[constructor]tensor")
handle nn_tensor(const uint32_t *dimensions, size_t rank, enum tensor_type type, const void *data, size_t length);
IMPORT("wasi:nn/tensor" NN, "[method]tensor.data") void nn_tensor_data(handle tensor, bytes *data);
IMPORT("wasi:nn/tensor" NN, "[resource-drop]tensor") void nn_drop_tensor(handle tensor);
IMPORT("wasi:nn/graph" NN, "load-by-name") void nn_load_by_name(const char *name, size_t length, nn_result *graph);
IMPORT("wasi:nn/graph" NN, "[method]graph.init-execution-context") void nn_context(handle graph, nn_result *context);
IMPORT("wasi:nn/graph" NN, "[resource-drop]graph") void nn_drop_graph(handle graph);
IMPORT("wasi:nn/inference" NN, "[method]graph-execution-context.compute")
void nn_compute(handle context, const named_tensor *inputs, size_t count, nn_outputs *outputs);
IMPORT("wasi:nn/errors" NN, "[method]error.data") void nn_error_data(handle error, bytes *text);
IMPORT("wasi:nn/errors" NN, "[resource-drop]error") void nn_drop_error(handle error);

/* --- what a plug-in answers --- */

enum verdict { ALLOW, REDACT, DENY };

typedef struct {
    uint32_t start, end;
} span;

typedef struct {
    uint8_t has;
    handle tensor;
} optional_tensor;

typedef struct {
    uint8_t verdict;
    const void *content; /* the spans of REDACT, the characters of the reason of DENY */
    size_t count;
    optional_tensor scores;
} opinion;

_Static_assert(sizeof(opinion) == 20, "the layout of the canonical ABI");

/* What each plug-in defines. `text` and what `allocate` returns are valid until the opinion has been read. */
opinion check(bytes text, optional_tensor scores);

void *allocate(size_t size);

static inline opinion allow(optional_tensor scores) {
    return (opinion){ALLOW, NULL, 0, scores};
}

static inline opinion deny(bytes reason) {
    return (opinion){DENY, reason.at, reason.length, {0, 0}};
}

static inline opinion redact(const span *spans, size_t count, optional_tensor scores) {
    return (opinion){REDACT, spans, count, scores};
}

#endif
