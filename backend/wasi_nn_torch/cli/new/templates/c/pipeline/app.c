/* A pipeline: it checks scores, computes the model, and adds the place of the best score to the answer. */

#include "pipeline.h"

static const text MODEL = TEXT("model");
static const int64_t ANY[] = {-1}, ONE[] = {1};
static const tensor_description INPUTS[] = {{TEXT("scores"), FP32, ANY, COUNT(ANY)}};
static const tensor_description OUTPUTS[] = {
    {TEXT("probabilities"), FP32, ANY, COUNT(ANY)},
    {TEXT("best"), INT64, ONE, COUNT(ONE)},
};

/* It stays open for later requests. */
static handle context;

description describe(void) { return (description){1, INPUTS, COUNT(INPUTS), OUTPUTS, COUNT(OUTPUTS)}; }

/* What the host refuses as an argument is the fault of the client. */
static answer refused(handle error) {
    text reason;
    nn_error_data(error, &reason);
    uint16_t status = nn_error_code(error) == NN_INVALID_ARGUMENT ? 400 : 500;
    nn_drop_error(error);
    return failure(status, reason);
}

/* The error, or 0. */
static handle open_model(void) {
    nn_result graph, made;
    nn_load_by_name(MODEL.at, MODEL.length, &graph);
    if (graph.failed)
        return graph.value;
    nn_context(graph.value, &made);
    nn_drop_graph(graph.value);
    if (made.failed)
        return made.value;
    context = made.value;
    return 0;
}

static int64_t place_of_best(handle tensor) {
    nn_list data;
    nn_data(tensor, &data);
    const float *numbers = data.at;
    size_t best = 0;
    for (size_t index = 1; index < data.length / sizeof *numbers; index++)
        if (numbers[index] > numbers[best])
            best = index;
    return (int64_t)best;
}

answer infer(const request *request, const named_tensor *inputs, size_t count) {
    (void)request;
    (void)count; /* the server has compared the inputs with the description */
    nn_list sizes;
    nn_dimensions(inputs[0].tensor, &sizes);
    if (*(const uint32_t *)sizes.at == 0) {
        nn_drop_tensor(inputs[0].tensor);
        return failure(400, TEXT("there are no scores; give at least one"));
    }
    handle error = context ? 0 : open_model();
    if (error) {
        nn_drop_tensor(inputs[0].tensor);
        return refused(error);
    }
    nn_outputs computed;
    nn_compute(context, inputs, 1, &computed); /* the scores belong to the host now, which has not copied them */
    if (computed.failed)
        return refused(computed.error);
    int64_t best = place_of_best(computed.outputs[0].tensor);
    named_tensor *made = allocate(2 * sizeof *made);
    made[0] = computed.outputs[0];
    made[1] = (named_tensor){TEXT("best"), nn_tensor((const uint32_t[]){1}, 1, NN_I64, &best, sizeof best)};
    return outputs(made, 2);
}
