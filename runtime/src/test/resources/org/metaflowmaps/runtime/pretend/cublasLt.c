/* The pretend cuBLASLt: products are counted. Other functions are generated. */
#include "pretend.h"

#include <stdlib.h>
#include <string.h>

static int make(void **object) {
    *object = calloc(1, 512);
    return 0;
}

API size_t cublasLtGetVersion(void) { return 130400; }
API int cublasLtMatmulDescCreate(void **object, int compute, int scale) { return make(object); }
API int cublasLtMatrixLayoutCreate(void **object, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    return make(object);
}
API int cublasLtMatmulPreferenceCreate(void **object) { return make(object); }

API int cublasLtMatmulDescDestroy(void *object) {
    free(object);
    return 0;
}

API int cublasLtMatrixLayoutDestroy(void *object) { return cublasLtMatmulDescDestroy(object); }
API int cublasLtMatmulPreferenceDestroy(void *object) { return cublasLtMatmulDescDestroy(object); }

struct heuristic {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

API int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d,
        void *preference, int wanted, struct heuristic *results, int *found) {
    memset(results, 0, sizeof *results);
    *found = 1;
    return 0;
}

API int cublasLtMatmul(void *handle, void *operation, const void *alpha, const void *a, void *a_layout, const void *b,
        void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
        const void *algorithm, void *workspace, size_t size, void *stream) {
    return pretend_submit(stream, GEMMS) ? 13 : 0;
}
