/* The exports of the world, and memory that is free again after each call. */

#include "pipeline.h"

#define EXPORT(name) __attribute__((export_name(name)))
#define HANDLER "wasi-nn-torch:pipeline/handler@0.1.0"
#define PAGE 65536

extern uint8_t __heap_base;
static uintptr_t next;

static void *reserve(size_t size, size_t alignment) {
    if (!next)
        next = (uintptr_t)&__heap_base;
    uintptr_t at = (next + alignment - 1) & ~(uintptr_t)(alignment - 1), end = at + size;
    size_t available = (size_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end < at)
        __builtin_trap();
    if (end > available && __builtin_wasm_memory_grow(0, (end - available + PAGE - 1) / PAGE) == (size_t)-1)
        __builtin_trap();
    next = end;
    return (void *)at;
}

void *allocate(size_t size) { return reserve(size, 16); }

/* The host asks for memory for strings and lists. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size) {
    void *made = reserve(size, alignment);
    __builtin_memcpy(made, old, old_size < size ? old_size : size);
    return made;
}

EXPORT(HANDLER "#describe") const description *export_describe(void) {
    description *made = allocate(sizeof *made);
    *made = describe();
    return made;
}

EXPORT("cabi_post_" HANDLER "#describe") void after_describe(const description *made) {
    (void)made;
    next = 0;
}

EXPORT(HANDLER "#infer")
const answer *export_infer(const char *id, size_t id_length, int32_t has_tenant, const char *tenant, size_t tenant_length,
                           int32_t has_limit, int64_t time_left, const named_parameter *parameters,
                           size_t parameter_count, const text *names, size_t name_count, const named_tensor *inputs,
                           size_t count) {
    request asked = {.id = {id, id_length}, .tenant = {has_tenant ? tenant : NULL, has_tenant ? tenant_length : 0},
                     .time_left = has_limit ? time_left : -1, .parameters = parameters,
                     .parameter_count = parameter_count, .outputs = names, .output_count = name_count};
    answer *made = allocate(sizeof *made);
    *made = infer(&asked, inputs, count);
    return made;
}

EXPORT("cabi_post_" HANDLER "#infer") void after_infer(const answer *made) {
    (void)made;
    next = 0;
}
