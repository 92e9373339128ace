/* Removes e-mail addresses, and numbers that are long enough to be those of telephones, accounts or cards. */

#include "plugin.h"

#define LEAST_DIGITS 7

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c) {
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_in_address(uint8_t c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_' || c == '+';
}

/* The end of the address whose part before the `@` starts at `at`, or 0. */
static size_t address_end(bytes text, size_t at) {
    size_t sign = at;
    while (sign < text.length && is_in_address(text.at[sign])) {
        sign++;
    }
    if (sign == at || sign >= text.length || text.at[sign] != '@') {
        return 0;
    }
    size_t end = sign + 1;
    while (end < text.length && is_in_address(text.at[end])) {
        end++;
    }
    return end > sign + 1 ? end : 0;
}

/* The end of a number with spaces and signs in it that starts at `at`, or 0. */
static size_t number_end(bytes text, size_t at) {
    size_t digits = 0, end = 0;
    for (size_t i = at; i < text.length; i++) {
        uint8_t c = text.at[i];
        if (is_digit(c)) {
            digits++;
            end = i + 1;
        } else if (!(c == ' ' || c == '-' || c == '/' || c == '(' || c == ')' || (c == '+' && i == at))) {
            break;
        }
    }
    return digits >= LEAST_DIGITS ? end : 0;
}

static size_t contact_end(bytes text, size_t at) {
    uint8_t c = text.at[at];
    size_t end = is_in_address(c) ? address_end(text, at) : 0;
    return end ? end : is_digit(c) || c == '+' ? number_end(text, at) : 0;
}

opinion check(bytes text, optional_tensor scores) {
    span *found = allocate((text.length / 3 + 1) * sizeof *found);
    size_t count = 0;
    for (size_t i = 0; i < text.length;) {
        size_t end = contact_end(text, i);
        if (end) {
            found[count++] = (span){(uint32_t)i, (uint32_t)end};
            i = end;
        } else if (is_in_address(text.at[i])) { /* a word that is no contact is none from its middle on either */
            while (i < text.length && is_in_address(text.at[i])) {
                i++;
            }
        } else {
            i++;
        }
    }
    return count ? redact(found, count, scores) : allow(scores);
}
