/* The export of the world, and memory that is free again after each call. */

#include "plugin.h"

#define PAGE 65536

extern uint8_t __heap_base;
static uintptr_t next;

static void *reserve(size_t size, size_t alignment) {
    if (next == 0) {
        next = (uintptr_t)&__heap_base;
    }
    next = (next + alignment - 1) & ~(uintptr_t)(alignment - 1);
    uintptr_t at = next, end = at + size;
    size_t available = (size_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end < at || (end > available && __builtin_wasm_memory_grow(0, (end - available + PAGE - 1) / PAGE) == (size_t)-1)) {
        __builtin_trap();
    }
    next = end;
    return (void *)at;
}

void *allocate(size_t size) {
    return reserve(size, 16);
}

/* The host asks for memory for strings, lists and bytes. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size) {
    void *made = reserve(size, alignment);
    __builtin_memcpy(made, old, old_size < size ? old_size : size);
    return made;
}

EXPORT("example:guardrail/guard@1.0.0#check")
opinion *export_check(const uint8_t *text, size_t length, int32_t has_scores, handle scores) {
    opinion *answer = allocate(sizeof *answer);
    *answer = check((bytes){text, length}, (optional_tensor){(uint8_t)has_scores, scores});
    return answer;
}

EXPORT("cabi_post_example:guardrail/guard@1.0.0#check") void after_check(opinion *answer) {
    (void)answer;
    next = 0;
}
