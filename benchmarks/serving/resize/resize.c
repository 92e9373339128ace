/* A pipeline: it resizes a picture to the square that a network sees, and computes the network.

   The filter is bilinear, and as wide as the picture is reduced, like the one of Pillow. Each row of the result is mixed
   from rows of the picture first, and its pixels from pixels of that row second. */

#include "pipeline.h"
#include <wasm_simd128.h>

enum { SIDE = 224, CHANNELS = 3, LANES = 16 };

static const text MODEL = TEXT("net");
static const int64_t PICTURE[] = {-1, -1, CHANNELS}, SCORES[] = {1, -1};
static const tensor_description INPUTS[] = {{TEXT("picture"), UINT8, PICTURE, COUNT(PICTURE)}};
static const tensor_description OUTPUTS[] = {{TEXT("output"), FP32, SCORES, COUNT(SCORES)}};

/* A color from 0 to 255 becomes what networks are trained with, by a factor and a summand for each channel. */
static const float FACTOR[4] = {1 / (255 * 0.229f), 1 / (255 * 0.224f), 1 / (255 * 0.225f), 0};
static const float SUMMAND[4] = {-0.485f / 0.229f, -0.456f / 0.224f, -0.406f / 0.225f, 0};

/* It stays open for later requests. */
static handle context;

description describe(void) { return (description){1, INPUTS, COUNT(INPUTS), OUTPUTS, COUNT(OUTPUTS)}; }

/* What one position of the result is mixed from: `count` positions, beginning with `first`. */
typedef struct {
    size_t first, count;
    const float *weights;
} mix;

static const mix *mixes(size_t size) {
    mix *made = allocate(SIDE * sizeof *made);
    float scale = (float)size / SIDE, radius = scale > 1 ? scale : 1;
    for (size_t at = 0; at < SIDE; at++) {
        float center = ((float)at + 0.5f) * scale, low = center - radius + 0.5f, high = center + radius + 0.5f;
        size_t first = low > 0 ? (size_t)low : 0, end = high < (float)size ? (size_t)high : size;
        float *weights = allocate((end - first) * sizeof *weights), sum = 0;
        for (size_t index = 0; index < end - first; index++) {
            float distance = __builtin_fabsf(((float)(first + index) + 0.5f - center) / radius);
            weights[index] = distance < 1 ? 1 - distance : 0;
            sum += weights[index];
        }
        for (size_t index = 0; index < end - first; index++)
            weights[index] /= sum;
        made[at] = (mix){first, end - first, weights};
    }
    return made;
}

static v128_t add(v128_t sum, v128_t bytes, v128_t weight) {
    return wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_f32x4_convert_u32x4(bytes), weight));
}

/* Mix rows of `length` bytes; up to 15 more are read, and as many floats more written. */
static void mix_rows(float *row, const uint8_t *pixels, size_t length, const mix *from) {
    for (size_t at = 0; at < length; at += LANES) {
        v128_t sums[4] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
        for (size_t index = 0; index < from->count; index++) {
            v128_t weight = wasm_f32x4_splat(from->weights[index]);
            v128_t bytes = wasm_v128_load(pixels + (from->first + index) * length + at);
            v128_t low = wasm_u16x8_extend_low_u8x16(bytes), high = wasm_u16x8_extend_high_u8x16(bytes);
            sums[0] = add(sums[0], wasm_u32x4_extend_low_u16x8(low), weight);
            sums[1] = add(sums[1], wasm_u32x4_extend_high_u16x8(low), weight);
            sums[2] = add(sums[2], wasm_u32x4_extend_low_u16x8(high), weight);
            sums[3] = add(sums[3], wasm_u32x4_extend_high_u16x8(high), weight);
        }
        for (size_t part = 0; part < 4; part++)
            wasm_v128_store(row + at + 4 * part, sums[part]);
    }
}

/* Mix the pixels of a row, each with its channels in the first three of four lanes. */
static void mix_pixels(float *planes, const float *row, const mix *columns) {
    v128_t factor = wasm_v128_load(FACTOR), summand = wasm_v128_load(SUMMAND);
    for (size_t at = 0; at < SIDE; at++) {
        v128_t sum = wasm_f32x4_splat(0);
        const float *pixel = row + columns[at].first * CHANNELS;
        for (size_t index = 0; index < columns[at].count; index++, pixel += CHANNELS)
            sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load(pixel), wasm_f32x4_splat(columns[at].weights[index])));
        sum = wasm_f32x4_add(wasm_f32x4_mul(sum, factor), summand);
        planes[at] = wasm_f32x4_extract_lane(sum, 0);
        planes[at + SIDE * SIDE] = wasm_f32x4_extract_lane(sum, 1);
        planes[at + 2 * SIDE * SIDE] = wasm_f32x4_extract_lane(sum, 2);
    }
}

/* The planes of the resized picture. What is allocated after the pixels lies after them, so that a little too much can be
   read. */
static const float *resized(const uint8_t *pixels, size_t height, size_t width) {
    size_t length = width * CHANNELS;
    const mix *rows = mixes(height), *columns = mixes(width);
    float *row = allocate((length + LANES + 1) * sizeof *row);
    float *planes = allocate(CHANNELS * SIDE * SIDE * sizeof *planes);
    for (size_t at = 0; at < SIDE; at++) {
        mix_rows(row, pixels, length, &rows[at]);
        mix_pixels(planes + at * SIDE, row, columns);
    }
    return planes;
}

static answer failed(handle error) {
    text reason;
    nn_error_data(error, &reason);
    nn_drop_error(error);
    return failure(500, reason);
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

answer infer(const request *request, const named_tensor *inputs, size_t count) {
    (void)request;
    (void)count; /* the server has compared the inputs with the description */
    nn_list sizes, pixels;
    nn_dimensions(inputs[0].tensor, &sizes);
    nn_data(inputs[0].tensor, &pixels);
    nn_drop_tensor(inputs[0].tensor);
    size_t height = ((const uint32_t *)sizes.at)[0], width = ((const uint32_t *)sizes.at)[1];
    if (!height || !width)
        return failure(400, TEXT("the picture has no pixels"));
    handle error = context ? 0 : open_model();
    if (error)
        return failed(error);
    const float *planes = resized(pixels.at, height, width);
    const uint32_t square[] = {1, CHANNELS, SIDE, SIDE};
    size_t nbytes = CHANNELS * SIDE * SIDE * sizeof *planes;
    named_tensor given = {TEXT("0"), nn_tensor(square, COUNT(square), NN_FP32, planes, nbytes)};
    nn_outputs computed;
    nn_compute(context, &given, 1, &computed);
    return computed.failed ? failed(computed.error) : outputs(computed.outputs, computed.count);
}
