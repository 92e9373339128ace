/* The world of pipelines in C: what a pipeline defines, and what it may call.

   The names and the layouts are those of the canonical ABI for the files in `wit/`. */

#ifndef PIPELINE_H
#define PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#define NN "@0.2.0-rc-2024-10-28"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/* A resource of the host. Each is dropped once, unless it is handed on: to `nn_compute`, or as an output. */
typedef int32_t handle;

typedef struct {
    const char *at;
    size_t length;
} text;

#define TEXT(literal) ((text){(literal), sizeof(literal) - 1})
#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct {
    text name;
    handle tensor;
} named_tensor;

/* --- what the pipeline defines --- */

enum datatype { BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32, FP64, BF16, BYTES };

typedef struct {
    text name;
    uint8_t datatype;
    const int64_t *shape; /* -1 for a size that varies */
    size_t rank;
} tensor_description;

typedef struct {
    uint8_t has; /* 0: the requests are not checked */
    const tensor_description *inputs;
    size_t input_count;
    const tensor_description *outputs;
    size_t output_count;
} description;

typedef struct {
    uint8_t kind; /* 0: boolean, 1: integer, 2: real, 3: characters */
    union {
        uint8_t boolean;
        int64_t integer;
        double real;
        text characters;
    };
} parameter;

typedef struct {
    text name;
    parameter value;
} named_parameter;

typedef struct {
    text id;
    text tenant; /* `at` is NULL if there is none */
    int64_t time_left; /* milliseconds, or -1 if there is no limit */
    const named_parameter *parameters;
    size_t parameter_count;
    const text *outputs; /* the names of those that the client wants; if there are none, all of them */
    size_t output_count;
} request;

typedef struct {
    uint8_t failed;
    union {
        struct {
            const named_tensor *outputs;
            size_t count;
        };
        struct {
            uint16_t status;
            text message;
        };
    };
} answer;

_Static_assert(sizeof(tensor_description) == 20 && sizeof(description) == 20 && sizeof(named_parameter) == 24 &&
                   sizeof(named_tensor) == 12 && sizeof(answer) == 16,
               "the layouts of the canonical ABI");

description describe(void);

/* The inputs belong to the pipeline, and the outputs to the server. */
answer infer(const request *request, const named_tensor *inputs, size_t count);

/* Memory until `infer` has been answered, as is that of its arguments. */
void *allocate(size_t size);

static inline answer outputs(const named_tensor *outputs, size_t count) {
    return (answer){.failed = 0, .outputs = outputs, .count = count};
}

static inline answer failure(uint16_t status, text message) {
    return (answer){.failed = 1, .status = status, .message = message};
}

/* --- wasi-nn --- */

enum tensor_type { NN_FP16, NN_FP32, NN_FP64, NN_BF16, NN_U8, NN_I32, NN_I64 };
enum error_code { NN_INVALID_ARGUMENT }; /* the first one; `wit/` has the others */

typedef struct {
    uint8_t failed;
    handle value; /* the resource, or the error */
} nn_result;

typedef struct {
    const void *at;
    size_t length;
} nn_list;

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
IMPORT("wasi:nn/tensor" NN, "[method]tensor.dimensions") void nn_dimensions(handle tensor, nn_list *sizes);
IMPORT("wasi:nn/tensor" NN, "[method]tensor.data") void nn_data(handle tensor, nn_list *data);
IMPORT("wasi:nn/tensor" NN, "[resource-drop]tensor") void nn_drop_tensor(handle tensor);
IMPORT("wasi:nn/graph" NN, "load-by-name") void nn_load_by_name(const char *name, size_t length, nn_result *graph);
IMPORT("wasi:nn/graph" NN, "[method]graph.init-execution-context") void nn_context(handle graph, nn_result *context);
IMPORT("wasi:nn/graph" NN, "[resource-drop]graph") void nn_drop_graph(handle graph);
IMPORT("wasi:nn/inference" NN, "[method]graph-execution-context.compute")
void nn_compute(handle context, const named_tensor *inputs, size_t count, nn_outputs *outputs);
IMPORT("wasi:nn/errors" NN, "[method]error.code") int32_t nn_error_code(handle error);
IMPORT("wasi:nn/errors" NN, "[method]error.data") void nn_error_data(handle error, text *reason);
IMPORT("wasi:nn/errors" NN, "[resource-drop]error") void nn_drop_error(handle error);

#endif
