/* By the functions of `wasi_ephemeral_nn`, with numbers for inputs and outputs. */

#include "classify.h"
#include "wasi_ephemeral_nn.h"

#include <stdlib.h>
#include <string.h>

/* A buffer for as many classes as any of these models has. */
enum { MOST_CLASSES = 1001 };

NN_FUNCTION(load)(const struct bytes *builders, uint32_t count, uint32_t encoding, uint32_t target, nn_graph *graph);

static void check(uint32_t number, const char *what) {
    if (number != 0) fail(what);
}

struct bytes classify(const char *name, struct bytes model, const uint32_t dimensions[4], struct bytes input) {
    nn_graph graph;
    nn_context context;
    const struct nn_tensor tensor = {dimensions, 4, NN_F32, input.data, input.size};
    struct bytes scores = {malloc(MOST_CLASSES * sizeof(float)), 0};
    if (name == NULL) check(nn_load(&model, 1, ONNX, CPU, &graph), "load");
    else check(nn_load_by_name(name, strlen(name), &graph), "load_by_name");
    check(nn_init_execution_context(graph, &context), "init_execution_context");
    check(nn_set_input(context, 0, &tensor), "set_input");
    check(nn_compute(context), "compute");
    check(nn_get_output(context, 0, scores.data, MOST_CLASSES * sizeof(float), &scores.size), "get_output");
    return scores;
}
