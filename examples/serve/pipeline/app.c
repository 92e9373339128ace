/* A pipeline that takes the file of a photograph, and returns the names of its most probable classes.

   It decodes the photograph, and computes the host's model `classifier` on the pixels. The names of the classes are in
   the component, because a pipeline has no files. */

#include "jpeg.h"
#include "labels.h"

#define BEST 5
_Static_assert(COUNT(LABELS) == 1000, "the error for another number of classes says so");

static const text MODEL = TEXT("classifier");
static const int64_t ONE[] = {1}, ANY[] = {-1};
static const tensor_description INPUTS[] = {{TEXT("photo"), BYTES, ONE, COUNT(ONE)}};
static const tensor_description OUTPUTS[] = {
    {TEXT("names"), BYTES, ANY, COUNT(ANY)},
    {TEXT("probabilities"), FP32, ANY, COUNT(ANY)},
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

/* How many classes the client wants: its parameter `best`; 0 if that is not a number of classes. */
static size_t wanted(const request *request) {
    for (size_t index = 0; index < request->parameter_count; index++) {
        const named_parameter *given = &request->parameters[index];
        if (given->name.length != 4 || __builtin_memcmp(given->name.at, "best", 4) != 0)
            continue;
        int64_t best = given->value.kind == 1 ? given->value.integer : 0;
        return best >= 1 && best <= (int64_t)COUNT(LABELS) ? (size_t)best : 0;
    }
    return BEST;
}

static picture decoded(handle file) {
    nn_list data;
    nn_data(file, &data);
    return decode_jpeg((const uint8_t *)data.at + 4, data.length - 4); /* the length of the file is before it */
}

static answer not_a_picture(text fault) {
    const text input = TEXT("photo: ");
    char *message = allocate(input.length + fault.length);
    __builtin_memcpy(message, input.at, input.length);
    __builtin_memcpy(message + input.length, fault.at, fault.length);
    return failure(400, (text){message, input.length + fault.length});
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

/* The numbers of the most probable classes. */
static const size_t *most_probable(const float *chances, size_t best) {
    size_t *found = allocate(best * sizeof *found);
    uint8_t *is_found = allocate(COUNT(LABELS));
    __builtin_memset(is_found, 0, COUNT(LABELS));
    for (size_t place = 0; place < best; place++) {
        size_t next = COUNT(LABELS);
        for (size_t class = 0; class < COUNT(LABELS); class++)
            if (!is_found[class] && (next == COUNT(LABELS) || chances[class] > chances[next]))
                next = class;
        is_found[next] = 1;
        found[place] = next;
    }
    return found;
}

/* A tensor of texts: for each its length, as four bytes, and its characters. */
static handle names(const size_t *classes, size_t count) {
    size_t length = 0;
    for (size_t index = 0; index < count; index++)
        length += 4 + LABELS[classes[index]].length;
    uint8_t *data = allocate(length), *end = data;
    for (size_t index = 0; index < count; index++) {
        text label = LABELS[classes[index]];
        uint32_t size = (uint32_t)label.length;
        __builtin_memcpy(end, &size, 4);
        __builtin_memcpy(end + 4, label.at, label.length);
        end += 4 + label.length;
    }
    return nn_tensor((const uint32_t[]){(uint32_t)length}, 1, NN_U8, data, length);
}

static handle probabilities(const float *chances, const size_t *classes, size_t count) {
    float *data = allocate(count * sizeof *data);
    for (size_t index = 0; index < count; index++)
        data[index] = chances[classes[index]];
    return nn_tensor((const uint32_t[]){(uint32_t)count}, 1, NN_FP32, data, count * sizeof *data);
}

static answer named(handle computed, size_t best) {
    nn_list data;
    nn_data(computed, &data);
    nn_drop_tensor(computed);
    const float *chances = data.at;
    if (data.length != COUNT(LABELS) * sizeof *chances)
        return failure(500, TEXT("`classifier` has more or fewer classes than the pipeline has names"));
    const size_t *classes = most_probable(chances, best);
    named_tensor *made = allocate(2 * sizeof *made);
    made[0] = (named_tensor){TEXT("names"), names(classes, best)};
    made[1] = (named_tensor){TEXT("probabilities"), probabilities(chances, classes, best)};
    return outputs(made, 2);
}

/* The answer for the file of a photograph. */
static answer classified(handle file, size_t best) {
    picture photo = decoded(file);
    if (!photo.pixels)
        return not_a_picture(photo.fault);
    handle error = context ? 0 : open_model();
    if (error)
        return refused(error);
    const uint32_t sizes[] = {photo.height, photo.width, 3};
    size_t nbytes = (size_t)photo.height * photo.width * 3;
    named_tensor image = {TEXT("image"), nn_tensor(sizes, COUNT(sizes), NN_U8, photo.pixels, nbytes)};
    nn_outputs computed;
    nn_compute(context, &image, 1, &computed); /* the image belongs to the host now */
    return computed.failed ? refused(computed.error) : named(computed.outputs[0].tensor, best);
}

answer infer(const request *request, const named_tensor *inputs, size_t count) {
    (void)count; /* the server has compared the inputs with the description */
    size_t best = wanted(request);
    answer made = best ? classified(inputs[0].tensor, best)
                       : failure(400, TEXT("the parameter `best` must be an integer from 1 to 1000"));
    nn_drop_tensor(inputs[0].tensor);
    return made;
}
