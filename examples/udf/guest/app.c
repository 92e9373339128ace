/* A function on rows: it takes the file of a photograph, computes the host's model on it, and returns the name and the
   probability of the best class. A file that is not a picture is refused, with the reason. */

#include "pipeline.h"

#include "labels.h"

enum { LENGTH = 4, LONGEST_SIDE = 8192 };

static const text MODEL = TEXT("classifier");
static const int64_t ONE[] = {1};
static const tensor_description INPUTS[] = {{TEXT("photo"), BYTES, ONE, COUNT(ONE)}};
static const tensor_description OUTPUTS[] = {
    {TEXT("label"), BYTES, ONE, COUNT(ONE)},
    {TEXT("probability"), FP32, ONE, COUNT(ONE)},
};

typedef struct {
    const uint8_t *at, *end;
} bytes;

typedef struct {
    uint32_t width, height;
    const uint8_t *pixels;
} picture;

/* It stays open for later rows. */
static handle context;

description describe(void) { return (description){1, INPUTS, COUNT(INPUTS), OUTPUTS, COUNT(OUTPUTS)}; }

/* The next number of a header, after blanks; 0 if there is none, or if it is too large. */
static uint32_t number(bytes *file) {
    uint32_t value = 0;
    while (file->at < file->end && (*file->at == ' ' || *file->at == '\n'))
        file->at++;
    for (; file->at < file->end && *file->at >= '0' && *file->at <= '9' && value <= LONGEST_SIDE; file->at++)
        value = 10 * value + (*file->at - '0');
    return file->at < file->end && value <= LONGEST_SIDE ? value : 0;
}

/* Why a file is not a picture; no text if it is one. */
static text read(bytes file, picture *found) {
    if (file.end - file.at < 2 || file.at[0] != 'P' || file.at[1] != '6')
        return TEXT("not a binary PPM picture");
    file.at += 2;
    found->width = number(&file);
    found->height = number(&file);
    if (!found->width || !found->height || number(&file) != 255)
        return TEXT("not a PPM picture of 1 to 8192 pixels a side, with one byte a colour");
    found->pixels = file.at + 1; /* after one blank */
    if ((size_t)(file.end - found->pixels) < 3 * (size_t)found->width * found->height)
        return TEXT("the picture ends too early");
    return (text){0};
}

/* What the host refuses as an argument is the fault of the row. */
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

static size_t best_of(const float *chances, size_t count) {
    size_t best = 0;
    for (size_t index = 1; index < count; index++)
        if (chances[index] > chances[best])
            best = index;
    return best;
}

/* A tensor with one element of BYTES: its length, and its bytes. */
static handle text_tensor(text value) {
    uint8_t *element = allocate(LENGTH + value.length);
    uint32_t length = value.length;
    __builtin_memcpy(element, &length, LENGTH);
    __builtin_memcpy(element + LENGTH, value.at, value.length);
    return nn_tensor((const uint32_t[]){LENGTH + length}, 1, NN_U8, element, LENGTH + length);
}

static answer classify(const picture *seen) {
    const uint32_t sizes[] = {seen->height, seen->width, 3};
    named_tensor image = {TEXT("image"), nn_tensor(sizes, 3, NN_U8, seen->pixels, 3 * (size_t)seen->width * seen->height)};
    nn_outputs computed;
    nn_compute(context, &image, 1, &computed); /* the image belongs to the host now */
    if (computed.failed)
        return refused(computed.error);
    nn_list chances;
    nn_data(computed.outputs[0].tensor, &chances);
    nn_drop_tensor(computed.outputs[0].tensor);
    if (chances.length != COUNT(LABELS) * sizeof(float))
        return failure(500, TEXT("the model knows another number of classes than the guest"));
    size_t best = best_of(chances.at, COUNT(LABELS));
    named_tensor *made = allocate(2 * sizeof *made);
    made[0] = (named_tensor){TEXT("label"), text_tensor(LABELS[best])};
    made[1] = (named_tensor){TEXT("probability"), nn_tensor((const uint32_t[]){1}, 1, NN_FP32,
                                                            (const float *)chances.at + best, sizeof(float))};
    return outputs(made, 2);
}

answer infer(const request *request, const named_tensor *inputs, size_t count) {
    (void)request;
    (void)count; /* the host has compared the inputs with the description */
    nn_list file;
    nn_data(inputs[0].tensor, &file);
    nn_drop_tensor(inputs[0].tensor);
    const uint8_t *content = file.at;
    picture seen;
    text fault = read((bytes){content + LENGTH, content + file.length}, &seen);
    if (fault.length)
        return failure(400, fault);
    handle error = context ? 0 : open_model();
    return error ? refused(error) : classify(&seen);
}
