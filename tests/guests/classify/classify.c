/* A classifier as those that other hosts of wasi-nn ship: it loads `fixture/model.onnx`, or a graph by its name if one
   is given, computes `fixture/tensor.raw`, and prints the best classes. Which functions of wasi-nn are called is decided
   by the file that is compiled with it. */

#include "classify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 224, BEST = 5 };

void fail(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static struct bytes read_file(const char *path) {
    struct bytes content = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path);
    fseek(file, 0, SEEK_END);
    content.size = (uint32_t)ftell(file);
    rewind(file);
    content.data = malloc(content.size);
    if (fread(content.data, 1, content.size, file) != content.size) fail(path);
    fclose(file);
    return content;
}

int main(int count, char **arguments) {
    const uint32_t dimensions[] = {1, 3, SIDE, SIDE};
    struct bytes model = {NULL, 0};
    if (count < 2) model = read_file("fixture/model.onnx");
    struct bytes scores = classify(count < 2 ? NULL : arguments[1], model, dimensions, read_file("fixture/tensor.raw"));
    float *score = (float *)scores.data;
    for (int place = 0; place < BEST; place++) {
        uint32_t best = 0;
        for (uint32_t class = 0; class < scores.size / sizeof *score; class++)
            if (score[class] > score[best]) best = class;
        printf("%u %.4f\n", (unsigned)best, score[best]);
        score[best] = -1;
    }
    return 0;
}
