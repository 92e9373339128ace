/* Reading a picture. */

#ifndef PPM_H
#define PPM_H

#include <stdint.h>

struct picture {
    uint32_t width, height;
    uint8_t *pixels; /* rows from the top, three bytes a pixel; freed by whoever read it */
};

/* Read a binary PPM picture of one byte a colour; NULL, or what is wrong with it. */
const char *read_picture(const char *path, struct picture *picture);

#endif
