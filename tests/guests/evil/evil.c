/* A pipeline whose behaviour is the first element of its input `x`, divided by 100:

   0: answers y = 2 x         1: never returns          2: traps               3: takes all memory, then traps
   4: returns one more        5: returns FP32           6: returns another name  7: writes without end
   8: asks for a secret model 9: refuses, status 422   10: returns two outputs of one name */

#include "pipeline.h"

typedef struct {
    uint8_t failed;
    int32_t rest[3];
} write_result;

IMPORT("wasi:cli/stdout@0.2.0", "get-stdout") handle get_stdout(void);
IMPORT("wasi:io/streams@0.2.0", "[method]output-stream.blocking-write-and-flush")
void write_and_flush(handle stream, const void *content, size_t length, write_result *result);

static const int64_t ANY[] = {-1};
static const tensor_description INPUTS[] = {{TEXT("x"), INT64, ANY, COUNT(ANY)}};
static const tensor_description OUTPUTS[] = {{TEXT("y"), INT64, ANY, COUNT(ANY)}};

description describe(void) { return (description){1, INPUTS, COUNT(INPUTS), OUTPUTS, COUNT(OUTPUTS)}; }

static answer one(text name, handle tensor) {
    named_tensor *made = allocate(sizeof *made);
    *made = (named_tensor){name, tensor};
    return outputs(made, 1);
}

static answer write_without_end(void) {
    static const char LINE[] = "there is more where this came from\n";
    static char page[4096];
    for (size_t index = 0; index < sizeof page; index++)
        page[index] = LINE[index % (sizeof LINE - 1)];
    handle stream = get_stdout();
    write_result result;
    for (;;)
        write_and_flush(stream, page, sizeof page, &result);
}

static answer ask_for_a_secret(void) {
    nn_result graph;
    nn_load_by_name("secret", 6, &graph);
    if (!graph.failed)
        return failure(500, TEXT("it got the secret model"));
    text reason;
    nn_error_data(graph.value, &reason);
    nn_drop_error(graph.value);
    return failure(404, reason);
}

answer infer(const request *request, const named_tensor *inputs, size_t count) {
    (void)request;
    (void)count;
    nn_list given;
    nn_data(inputs[0].tensor, &given);
    nn_drop_tensor(inputs[0].tensor);
    size_t length = given.length / sizeof(int64_t);
    const int64_t *x = given.at;
    int64_t *y = allocate((length + 1) * sizeof *y);
    for (size_t index = 0; index < length; index++)
        y[index] = 2 * x[index];
    uint32_t size = length, more = length + 1;
    size_t bytes = length * sizeof *y;
    switch (x[0] / 100) {
    case 0:
        return one(TEXT("y"), nn_tensor(&size, 1, NN_I64, y, bytes));
    case 1:
        for (volatile int forever = 1; forever;)
            ;
    case 3:
        while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1)
            ;
        __builtin_trap();
    case 4:
        y[length] = 0;
        return one(TEXT("y"), nn_tensor(&more, 1, NN_I64, y, bytes + sizeof *y));
    case 5:
        return one(TEXT("y"), nn_tensor(&size, 1, NN_FP32, y, length * sizeof(float)));
    case 6:
        return one(TEXT("z"), nn_tensor(&size, 1, NN_I64, y, bytes));
    case 7:
        return write_without_end();
    case 8:
        return ask_for_a_secret();
    case 9:
        return failure(422, TEXT("not today"));
    case 10: {
        named_tensor *made = allocate(2 * sizeof *made);
        made[0] = (named_tensor){TEXT("y"), nn_tensor(&size, 1, NN_I64, y, bytes)};
        made[1] = (named_tensor){TEXT("y"), nn_tensor(&size, 1, NN_I64, y, bytes)};
        return outputs(made, 2);
    }
    default:
        __builtin_trap();
    }
}
