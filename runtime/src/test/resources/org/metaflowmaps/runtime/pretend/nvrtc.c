/* The pretend compiler: every program compiles, to the same few bytes. */
#include "pretend.h"

#include <string.h>

static const char image[] = "pretend";

/* No real compiler has this version, so machine code that is kept on disk is never mistaken for a real one. */
API int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 9999;
    return 0;
}

API int nvrtcCreateProgram(void **program, const char *source, const char *name, int count, const char **headers,
        const char **names) {
    *program = (void *)image;
    return 0;
}

API int nvrtcCompileProgram(void *program, int count, const char **options) { return 0; }

API int nvrtcDestroyProgram(void **program) { return 0; }

API int nvrtcGetProgramLogSize(void *program, size_t *bytes) {
    *bytes = 1;
    return 0;
}

API int nvrtcGetProgramLog(void *program, char *log) {
    *log = 0;
    return 0;
}

API int nvrtcGetCUBINSize(void *program, size_t *bytes) {
    *bytes = sizeof image;
    return 0;
}

API int nvrtcGetCUBIN(void *program, char *cubin) {
    memcpy(cubin, image, sizeof image);
    return 0;
}

API int nvrtcGetPTXSize(void *program, size_t *bytes) {
    *bytes = 0;
    return 0;
}

API int nvrtcGetPTX(void *program, char *ptx) { return 0; }

API const char *nvrtcGetErrorString(int error) { return error ? "pretend error" : "no error"; }
