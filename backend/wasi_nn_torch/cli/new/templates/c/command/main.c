/* A command that computes a model with wasi-nn: its arguments are numbers, and it prints a probability for each. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_ephemeral_nn.h"

static const char MODEL[] = "model";

enum { MOST_NUMBERS = 1000 };

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "error: %s: %s\n", what, why);
    exit(1);
}

/* End with a message if a function of wasi-nn did not return 0; the host prints the reason. */
static void check(uint32_t number, const char *function) {
    if (number)
        fail(function, nn_error_name(number));
}

/* Compute the model: the first input has `count` elements, and the first output at most `space`; how many it has. */
static uint32_t compute(const float *scores, uint32_t count, float *probabilities, uint32_t space) {
    nn_graph graph;
    nn_context context;
    const struct nn_tensor input = {&count, 1, NN_F32, (const uint8_t *)scores, count * (uint32_t)sizeof *scores};
    uint32_t written;
    check(nn_load_by_name(MODEL, strlen(MODEL), &graph), "load_by_name");
    check(nn_init_execution_context(graph, &context), "init_execution_context");
    check(nn_set_input(context, 0, &input), "set_input");
    check(nn_compute(context), "compute");
    check(nn_get_output(context, 0, probabilities, space * (uint32_t)sizeof *probabilities, &written), "get_output");
    return written / sizeof *probabilities;
}

int main(int argument_count, char **arguments) {
    float scores[MOST_NUMBERS], probabilities[MOST_NUMBERS];
    uint32_t count = (uint32_t)argument_count - 1;
    if (argument_count < 2 || count > MOST_NUMBERS)
        fail("usage", "give 1 to 1000 numbers");
    for (uint32_t index = 0; index < count; index++) {
        char *end;
        scores[index] = strtof(arguments[index + 1], &end);
        if (end == arguments[index + 1] || *end)
            fail(arguments[index + 1], "expected a number");
    }
    uint32_t length = compute(scores, count, probabilities, MOST_NUMBERS);
    printf("probabilities: FP32 [%u]", length);
    for (uint32_t index = 0; index < length; index++)
        printf(" %.4f", (double)probabilities[index]);
    printf("\n");
    return 0;
}
