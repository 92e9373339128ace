/* A command that classifies pictures with wasi-nn: `classify PICTURE…`.
 *
 * It contains no model. It uses the host's model `classifier`, which takes a picture of any size and returns a
 * probability for each line of the labels file.
 */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ppm.h"
#include "wasi_ephemeral_nn.h"

static const char MODEL[] = "classifier";
static const char LABELS[] = "labels/imagenet.txt";

enum { BEST = 5, MOST_LABELS = 1000, LONGEST_LABEL = 100 };

static char labels[MOST_LABELS][LONGEST_LABEL];
static float chances[MOST_LABELS];

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* End with a message where a function of wasi-nn did not return 0; the host's log says more. */
static void check(uint32_t number, const char *function) {
    if (number)
        fail(function, nn_error_name(number));
}

/* Read the names of the classes; how many there are. */
static uint32_t read_labels(void) {
    FILE *file = fopen(LABELS, "r");
    if (!file)
        fail(LABELS, strerror(errno));
    uint32_t count = 0;
    while (count < MOST_LABELS && fgets(labels[count], LONGEST_LABEL, file)) {
        labels[count][strcspn(labels[count], "\n")] = '\0';
        count++;
    }
    fclose(file);
    return count;
}

/* Run the model on a picture; how many probabilities it gave. */
static uint32_t infer(nn_context context, const struct picture *picture) {
    const uint32_t dimensions[] = {picture->height, picture->width, 3};
    const struct nn_tensor image = {dimensions, 3, NN_U8, picture->pixels, 3 * picture->height * picture->width};
    uint32_t written;
    check(nn_set_input(context, 0, &image), "set_input");
    check(nn_compute(context), "compute");
    check(nn_get_output(context, 0, chances, sizeof chances, &written), "get_output");
    return written / sizeof *chances;
}

/* Print the most probable classes as a bar chart, and make them the least probable ones. */
static void print_best(uint32_t count) {
    for (int rank = 0; rank < BEST; rank++) {
        uint32_t best = 0;
        for (uint32_t index = 1; index < count; index++)
            if (chances[index] > chances[best])
                best = index;
        long bar = lroundf(30 * chances[best]);
        printf("  %5.1f%%  %-*s", 100.0 * (double)chances[best], bar ? 26 : 0, labels[best]);
        while (bar-- > 0)
            printf("█");
        printf("\n");
        chances[best] = -1;
    }
    printf("\n");
}

int main(int argument_count, char **arguments) {
    if (argument_count < 2)
        fail("usage", "classify PICTURE…");
    uint32_t label_count = read_labels();
    nn_graph graph;
    nn_context context;
    check(nn_load_by_name(MODEL, strlen(MODEL), &graph), "load_by_name");
    check(nn_init_execution_context(graph, &context), "init_execution_context");
    for (int index = 1; index < argument_count; index++) {
        struct picture picture;
        const char *fault = read_picture(arguments[index], &picture);
        if (fault)
            fail(arguments[index], fault);
        uint32_t count = infer(context, &picture);
        free(picture.pixels);
        if (count != label_count)
            fail(LABELS, "the model knows another number of classes than this file names");
        printf("%s  %u x %u\n", arguments[index], picture.width, picture.height);
        print_best(count);
    }
    return 0;
}
