/* By the interfaces of `wasi:nn`, of the version that VERSION is, with names for inputs and outputs. With STEPWISE,
   inputs are set and outputs are got one by one. The declarations are the canonical ABI of the WIT files. */

#include "classify.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(interface, name) \
    __attribute__((import_module("wasi:nn/" interface "@0.2.0-rc-" VERSION), import_name(name)))

/* What a function answers with: a handle, or a list of outputs. */
struct answer {
    bool is_error;
    uint32_t value;
    uint32_t count;
};

struct named {
    const char *name;
    uint32_t length;
    uint32_t tensor;
};

IMPORT("graph", "load") void load(const struct bytes *, uint32_t, uint32_t, uint32_t, struct answer *);
IMPORT("graph", "load-by-name") void load_by_name(const char *, uint32_t, struct answer *);
IMPORT("graph", "[method]graph.init-execution-context") void init(uint32_t, struct answer *);
IMPORT("tensor", "[constructor]tensor") uint32_t make(const uint32_t *, uint32_t, uint32_t, const void *, uint32_t);
IMPORT("tensor", "[method]tensor.data") void data(uint32_t, struct bytes *);
#ifdef STEPWISE
IMPORT("inference", "[method]graph-execution-context.set-input")
void set_input(uint32_t, const char *, uint32_t, uint32_t, struct answer *);
IMPORT("inference", "[method]graph-execution-context.compute") void compute(uint32_t, struct answer *);
IMPORT("inference", "[method]graph-execution-context.get-output")
void get_output(uint32_t, const char *, uint32_t, struct answer *);
#else
IMPORT("inference", "[method]graph-execution-context.compute")
void compute(uint32_t, const struct named *, uint32_t, struct answer *);
#endif

enum { FP32 = 1 };

/* The canonical ABI asks the guest for the memory of lists. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t size, size_t align, size_t wanted) {
    (void)size, (void)align;
    void *memory = realloc(old, wanted);
    if (memory == NULL) abort();
    return memory;
}

static uint32_t value_of(const struct answer *answer, const char *what) {
    if (answer->is_error) fail(what);
    return answer->value;
}

static uint32_t output_of(uint32_t context, uint32_t input) {
    struct answer answer;
#ifdef STEPWISE
    set_input(context, "input", strlen("input"), input, &answer);
    value_of(&answer, "set-input");
    compute(context, &answer);
    value_of(&answer, "compute");
    get_output(context, "output", strlen("output"), &answer);
    return value_of(&answer, "get-output");
#else
    const struct named given = {"input", strlen("input"), input};
    compute(context, &given, 1, &answer);
    const struct named *made = (const struct named *)value_of(&answer, "compute");
    if (answer.count != 1 || strncmp(made->name, "output", made->length) != 0) fail("the output");
    return made->tensor;
#endif
}

struct bytes classify(const char *name, struct bytes model, const uint32_t dimensions[4], struct bytes input) {
    struct answer answer;
    struct bytes scores;
    if (name == NULL) load(&model, 1, ONNX, CPU, &answer);
    else load_by_name(name, strlen(name), &answer);
    init(value_of(&answer, "loading"), &answer);
    uint32_t context = value_of(&answer, "init-execution-context");
    data(output_of(context, make(dimensions, 4, FP32, input.data, input.size)), &scores);
    return scores;
}
