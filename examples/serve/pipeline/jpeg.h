/* Pictures in JPEG. */

#ifndef JPEG_H
#define JPEG_H

#include "pipeline.h"

typedef struct {
    const uint8_t *pixels; /* rows from top to bottom, three bytes a pixel; NULL if the file is not a picture */
    uint32_t width, height;
    text fault; /* if there are no pixels: what is wrong with the file */
} picture;

/* Decode a file; the pixels stay until the request is answered. */
picture decode_jpeg(const uint8_t *file, size_t length);

#endif
