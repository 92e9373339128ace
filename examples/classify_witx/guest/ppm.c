#include "ppm.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t LONGEST_SIDE = 16384;

/* The next number of a header, past blanks and comments; 0 where there is none. */
static uint32_t read_number(FILE *file) {
    int character = getc(file);
    while (isspace(character) || character == '#') {
        if (character == '#')
            while (character != '\n' && character != EOF)
                character = getc(file);
        else
            character = getc(file);
    }
    uint32_t number = 0;
    for (; isdigit(character) && number <= LONGEST_SIDE; character = getc(file))
        number = 10 * number + (uint32_t)(character - '0');
    return isspace(character) ? number : 0;
}

static const char *read_open_picture(FILE *file, struct picture *picture) {
    if (getc(file) != 'P' || getc(file) != '6')
        return "expected a binary PPM picture";
    picture->width = read_number(file);
    picture->height = read_number(file);
    bool is_fine = picture->width && picture->width <= LONGEST_SIDE && picture->height && picture->height <= LONGEST_SIDE;
    if (!is_fine || read_number(file) != 255)
        return "expected a binary PPM picture of at most 16384 x 16384 pixels, with one byte a colour";
    size_t size = 3 * (size_t)picture->width * picture->height;
    picture->pixels = malloc(size);
    if (!picture->pixels)
        return "not enough memory for the picture";
    if (fread(picture->pixels, 1, size, file) == size)
        return NULL;
    free(picture->pixels);
    return "the picture ends too early";
}

const char *read_picture(const char *path, struct picture *picture) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return strerror(errno);
    const char *fault = read_open_picture(file, picture);
    fclose(file);
    return fault;
}
