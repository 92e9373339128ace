/* Denies texts by the scores that a plug-in before it has handed on; hands those of other texts on as they are. */

#include "plugin.h"

#define THRESHOLD 0.5f

static const bytes REASONS[] = {
    TEXT("an insult"),
    TEXT("an advertisement"),
    TEXT("an attempt to take over the assistant"),
};
#define KINDS (sizeof REASONS / sizeof *REASONS)

static opinion judge(bytes data, optional_tensor scores) {
    size_t count = data.length / sizeof(float);
    if (count == 0 || count % KINDS != 0 || data.length % sizeof(float) != 0) {
        return deny(TEXT("the scores are not those of this judge"));
    }
    const float *values = (const float *)data.at;
    for (size_t i = 0; i < count; i++) {
        if (!(values[i] < THRESHOLD)) { /* NaN is denied as well */
            return deny(REASONS[i % KINDS]);
        }
    }
    return allow(scores);
}

opinion check(bytes text, optional_tensor scores) {
    (void)text;
    if (!scores.has) {
        return deny(TEXT("nobody has classified the text"));
    }
    bytes data;
    nn_tensor_data(scores.tensor, &data);
    opinion answer = judge(data, scores);
    if (answer.verdict == DENY) {
        nn_drop_tensor(scores.tensor);
    }
    return answer;
}
