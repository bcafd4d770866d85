/* The pretend cuBLAS: products are counted on the handle's stream. Other functions are generated. */
#include "pretend.h"

#include <stdlib.h>

struct handle {
    void *stream;
    int math;
    int pointer;
};

API int cublasCreate_v2(struct handle **handle) {
    *handle = calloc(1, sizeof **handle);
    return 0;
}

API int cublasDestroy_v2(struct handle *handle) {
    free(handle);
    return 0;
}

API int cublasSetStream_v2(struct handle *handle, void *stream) {
    handle->stream = stream;
    return 0;
}

API int cublasGetStream_v2(struct handle *handle, void **stream) {
    *stream = handle->stream;
    return 0;
}

API int cublasSetMathMode(struct handle *handle, int mode) {
    handle->math = mode;
    return 0;
}

API int cublasGetMathMode(struct handle *handle, int *mode) {
    *mode = handle->math;
    return 0;
}

API int cublasSetPointerMode_v2(struct handle *handle, int mode) {
    handle->pointer = mode;
    return 0;
}

API int cublasGetPointerMode_v2(struct handle *handle, int *mode) {
    *mode = handle->pointer;
    return 0;
}

/* For the generated products: 13 is CUBLAS_STATUS_EXECUTION_FAILED. */
int pretend_product(struct handle *handle) { return pretend_submit(handle->stream, GEMMS) ? 13 : 0; }
