/* wasi-nn for core modules: the functions of `wasi_ephemeral_nn`, each of which returns 0 or an error's number. */

#ifndef WASI_EPHEMERAL_NN_H
#define WASI_EPHEMERAL_NN_H

#include <stdint.h>

typedef uint32_t nn_graph;
typedef uint32_t nn_context;

enum nn_tensor_type { NN_F16, NN_F32, NN_F64, NN_U8, NN_I32, NN_I64 };

/* Row-major, without gaps. */
struct nn_tensor {
    const uint32_t *dimensions;
    uint32_t rank;
    uint8_t type;
    const uint8_t *data;
    uint32_t size;
};

#define NN_FUNCTION(name) __attribute__((import_module("wasi_ephemeral_nn"), import_name(#name))) uint32_t nn_##name

NN_FUNCTION(load_by_name)(const char *name, uint32_t length, nn_graph *graph);
NN_FUNCTION(init_execution_context)(nn_graph graph, nn_context *context);
NN_FUNCTION(set_input)(nn_context context, uint32_t index, const struct nn_tensor *tensor);
NN_FUNCTION(compute)(nn_context context);
NN_FUNCTION(get_output)(nn_context context, uint32_t index, void *buffer, uint32_t size, uint32_t *written);

static inline const char *nn_error_name(uint32_t number) {
    static const char *const NAMES[] = {
        "success",       "invalid argument",      "invalid encoding", "missing memory", "busy",
        "runtime error", "unsupported operation", "too large",        "not found",
    };
    return number < sizeof NAMES / sizeof *NAMES ? NAMES[number] : "unknown error";
}

#endif
