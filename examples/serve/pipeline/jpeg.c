/* The decoder is stb_image. It gets the memory of the request, which is free again after the answer. */

#include "jpeg.h"

/* A small file can claim to be a large picture. A pixel takes up to 15 bytes, which `max-memory` in serve.toml allows. */
enum { MOST_PIXELS = 16000000 };

#define STBI_MALLOC(size) allocate(size)
#define STBI_REALLOC(old, size) NULL /* no picture in JPEG needs it */
#define STBI_FREE(old) ((void)(old))
#define STBI_ASSERT(condition) ((void)(condition))
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_THREAD_LOCALS
#define STBI_NO_FAILURE_STRINGS
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

static int is_jpeg(const uint8_t *file, size_t length) {
    return length > 2 && length <= INT32_MAX && file[0] == 0xff && file[1] == 0xd8 && file[2] == 0xff;
}

/* Whether the last rows of pixels are followed by the mark for the end; the decoder would fill missing rows with gray. */
static int is_whole(const uint8_t *file, size_t length) {
    for (size_t at = length - 1; at > 0; at--)
        if (file[at - 1] == 0xff && (file[at] == 0xd9 || file[at] == 0xda))
            return file[at] == 0xd9;
    return 0;
}

static picture wrong(text fault) { return (picture){.pixels = NULL, .fault = fault}; }

picture decode_jpeg(const uint8_t *file, size_t length) {
    if (!is_jpeg(file, length))
        return wrong(TEXT("expected a picture in JPEG"));
    if (!is_whole(file, length))
        return wrong(TEXT("the picture in JPEG is incomplete"));
    int width, height, channels;
    if (!stbi_info_from_memory(file, (int)length, &width, &height, &channels))
        return wrong(TEXT("the picture in JPEG is corrupt"));
    if ((int64_t)width * height > MOST_PIXELS)
        return wrong(TEXT("the picture has more than 16 million pixels"));
    const uint8_t *pixels = stbi_load_from_memory(file, (int)length, &width, &height, &channels, 3);
    if (!pixels)
        return wrong(TEXT("the picture in JPEG is corrupt"));
    return (picture){.pixels = pixels, .width = (uint32_t)width, .height = (uint32_t)height};
}
