#include <stdint.h>

struct bytes {
    uint8_t *data;
    uint32_t size;
};

enum { ONNX = 1, CPU = 0 };

/* The scores that a graph gives to an input of FP32: the graph with a name, or that of a model if the name is NULL. */
struct bytes classify(const char *name, struct bytes model, const uint32_t dimensions[4], struct bytes input);

/* Print what failed, and end with status 1. */
_Noreturn void fail(const char *what);
