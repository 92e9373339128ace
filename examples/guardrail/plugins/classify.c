/* Classifies a text with the model `safety`, all of its parts in one batch, and hands the scores on. */

#include "plugin.h"

/* The bytes of one row that the model reads; shorter rows are filled with zeros. */
#define ROW 256
/* Rows overlap, so that what is between two of them is seen as a whole. */
#define STEP 192

static handle context; /* kept from one call to the next */

static opinion deny_for(handle error) {
    bytes text;
    nn_error_data(error, &text);
    nn_drop_error(error);
    return deny(text);
}

/* The error, or 0. */
static handle open_model(void) {
    nn_result graph, made;
    nn_load_by_name("safety", 6, &graph);
    if (graph.failed) {
        return graph.value;
    }
    nn_context(graph.value, &made);
    nn_drop_graph(graph.value);
    if (made.failed) {
        return made.value;
    }
    context = made.value;
    return 0;
}

static handle rows_of(bytes text) {
    uint32_t count = text.length <= ROW ? 1 : (uint32_t)(1 + (text.length - ROW + STEP - 1) / STEP);
    uint8_t *rows = allocate((size_t)count * ROW);
    __builtin_memset(rows, 0, (size_t)count * ROW);
    for (uint32_t i = 0; i < count; i++) {
        size_t start = (size_t)i * STEP, rest = text.length - start;
        __builtin_memcpy(rows + (size_t)i * ROW, text.at + start, rest < ROW ? rest : ROW);
    }
    return nn_tensor((uint32_t[]){count, ROW}, 2, U8, rows, (size_t)count * ROW);
}

opinion check(bytes text, optional_tensor before) {
    if (before.has) {
        nn_drop_tensor(before.tensor);
    }
    handle error = context ? 0 : open_model();
    if (error) {
        return deny_for(error);
    }
    named_tensor input = {TEXT("text"), rows_of(text)};
    nn_outputs scores;
    nn_compute(context, &input, 1, &scores);
    if (scores.failed) {
        return deny_for(scores.error);
    }
    return allow((optional_tensor){1, scores.outputs[0].tensor});
}
