/* The pretend cuDNN has a version and no operations; libtorch is told not to use it. */
#include "pretend.h"

API size_t cudnnGetVersion(void) { return 92500; }
API size_t cudnnGetCudartVersion(void) { return 13030; }
