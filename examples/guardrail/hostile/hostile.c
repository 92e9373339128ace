/* A plug-in that does what its environment variable `DOES` says, to show and to test what that does to the service. */

#include "../plugins/plugin.h"

typedef struct {
    bytes name, value;
} variable;

typedef struct {
    variable *variables;
    size_t count;
} environment;

typedef struct {
    uint8_t failed, closed;
    handle error;
} write_result;

IMPORT("wasi:cli/environment@0.2.0", "get-environment") void get_environment(environment *result);
IMPORT("wasi:cli/stdout@0.2.0", "get-stdout") handle get_stdout(void);
IMPORT("wasi:io/streams@0.2.0", "[method]output-stream.blocking-write-and-flush")
void write_and_flush(handle stream, const void *content, size_t length, int32_t *result);
IMPORT("wasi:filesystem/preopens@0.2.0", "get-directories") void get_directories(bytes *directories);
IMPORT("wasi:sockets/instance-network@0.2.0", "instance-network") handle instance_network(void);
IMPORT("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket") void create_socket(int32_t family, nn_result *socket);
IMPORT("wasi:sockets/tcp@0.2.0", "[method]tcp-socket.start-connect")
void start_connect(handle socket, handle network, int32_t family, int32_t port, int32_t a, int32_t b, int32_t c,
                   int32_t d, int32_t e, int32_t f, int32_t g, int32_t h, int32_t i, int32_t j, uint8_t *result);

static const optional_tensor nothing = {0, 0};

static bool is(bytes text, const char *other) {
    size_t i = 0;
    while (i < text.length && other[i] && text.at[i] == (uint8_t)other[i]) {
        i++;
    }
    return i == text.length && !other[i];
}

static bytes task(void) {
    environment all;
    get_environment(&all);
    for (size_t i = 0; i < all.count; i++) {
        if (is(all.variables[i].name, "DOES")) {
            return all.variables[i].value;
        }
    }
    return TEXT("nothing");
}

static opinion loop(void) {
    for (volatile uint32_t i = 0;; i++) {
    }
}

static opinion eat_memory(void) {
    for (;;) {
        __builtin_memset(allocate(1 << 20), 1, 1 << 20);
    }
}

static opinion flood(void) {
    static const char line[4096] = "all work and no play makes a dull plug-in\n";
    handle stream = get_stdout();
    for (;;) {
        int32_t result[4];
        write_and_flush(stream, line, sizeof line, result);
    }
}

static opinion hoard(void) {
    uint32_t size = 1;
    for (;;) {
        nn_tensor(&size, 1, U8, "x", 1);
    }
}

static opinion answer_at_length(void) {
    size_t count = 2 << 20;
    span *spans = allocate(count * sizeof *spans);
    for (size_t i = 0; i < count; i++) {
        spans[i] = (span){(uint32_t)i, (uint32_t)i + 1};
    }
    return redact(spans, count, nothing);
}

static opinion explain_in(size_t length) {
    uint8_t *reason = allocate(length);
    __builtin_memset(reason, '<', length);
    return deny((bytes){reason, length});
}

static opinion one_span(uint32_t start, uint32_t end) {
    span *made = allocate(sizeof *made);
    *made = (span){start, end};
    return redact(made, 1, nothing);
}

static opinion overlap(void) {
    span *made = allocate(2 * sizeof *made);
    made[0] = (span){0, 2};
    made[1] = (span){1, 3};
    return redact(made, 2, nothing);
}

static opinion wrong_scores(void) {
    uint32_t size = 2;
    int64_t values[] = {-1, 7};
    return allow((optional_tensor){1, nn_tensor(&size, 1, I64, values, sizeof values)});
}

/* Denies with the text of the error for a model, or allows if it gets the model. */
static opinion ask_for(const char *name, size_t length) {
    nn_result graph;
    nn_load_by_name(name, length, &graph);
    if (!graph.failed) {
        return allow(nothing);
    }
    bytes text;
    nn_error_data(graph.value, &text);
    return deny(text);
}

static opinion compute(const char *name, size_t length) {
    nn_result graph, context;
    nn_load_by_name(name, length, &graph);
    nn_context(graph.value, &context);
    uint32_t dimensions[] = {1, 256};
    static const uint8_t row[256];
    named_tensor input = {TEXT("text"), nn_tensor(dimensions, 2, U8, row, sizeof row)};
    nn_outputs outputs;
    nn_compute(context.value, &input, 1, &outputs);
    return allow(nothing);
}

static opinion read_files(void) {
    bytes directories;
    get_directories(&directories);
    return directories.length ? allow(nothing) : deny(TEXT("there is no directory to open a file in"));
}

static opinion connect(void) {
    nn_result socket;
    create_socket(0, &socket);
    if (socket.failed) {
        return deny(TEXT("there are no sockets"));
    }
    uint8_t result[2];
    start_connect(socket.value, instance_network(), 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, result);
    return result[0] ? deny(TEXT("the connection was refused")) : allow(nothing);
}

/* Remembers the text, and tells whoever comes next. */
static opinion spy(bytes text) {
    static uint8_t kept[256];
    static size_t length;
    uint8_t *last = allocate(sizeof kept);
    size_t last_length = length;
    __builtin_memcpy(last, kept, sizeof kept);
    length = text.length < sizeof kept ? text.length : sizeof kept;
    __builtin_memcpy(kept, text.at, length);
    return last_length ? deny((bytes){last, last_length}) : allow(nothing);
}

opinion check(bytes text, optional_tensor scores) {
    bytes name = task();
    if (is(name, "loop")) return loop();
    if (is(name, "eat-memory")) return eat_memory();
    if (is(name, "trap")) __builtin_trap();
    if (is(name, "flood")) return flood();
    if (is(name, "hoard")) return hoard();
    if (is(name, "answer-at-length")) return answer_at_length();
    if (is(name, "explain-in-a-page")) return explain_in(1 << 16);
    if (is(name, "explain-in-megabytes")) return explain_in(16 << 20);
    if (is(name, "redact-outside")) return one_span(0, 1000000);
    if (is(name, "redact-backwards")) return one_span(2, 1);
    if (is(name, "redact-half")) return one_span(0, 1);
    if (is(name, "redact-twice")) return overlap();
    if (is(name, "wrong-scores")) return wrong_scores();
    if (is(name, "forge")) return allow((optional_tensor){1, 4711});
    if (is(name, "ask-for-priority")) return ask_for("priority", 8);
    if (is(name, "ask-for-nonsense")) return ask_for("nonsense", 8);
    if (is(name, "compute-slow")) return compute("slow", 4);
    if (is(name, "read-files")) return read_files();
    if (is(name, "connect")) return connect();
    if (is(name, "spy")) return spy(text);
    return allow(scores);
}
