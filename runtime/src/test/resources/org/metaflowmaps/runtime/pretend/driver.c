/* The pretend driver: modules are empty, launches are counted, virtual memory is reserved address space. */
#define _GNU_SOURCE
#include "pretend.h"

#include <sys/mman.h>
#include <stdlib.h>

static int object;

API int cuInit(unsigned flags) { return 0; }

API int cuDriverGetVersion(int *version) {
    *version = 13030;
    return 0;
}

API int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal ? 101 : 0;
}

API int cuDeviceGetCount(int *devices) {
    *devices = 1;
    return 0;
}

extern int cudaDeviceGetAttribute(int *value, int attribute, int device);

API int cuDeviceGetAttribute(int *value, int attribute, int device) {
    return cudaDeviceGetAttribute(value, attribute, device);
}

API int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0;
    *active = 1;
    return 0;
}

API int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = &object;
    return 0;
}

API int cuCtxGetCurrent(void **context) {
    *context = &object;
    return 0;
}

API int cuCtxSetCurrent(void *context) { return 0; }

API int cuCtxPushCurrent_v2(void *context) { return 0; }

API int cuCtxPopCurrent_v2(void **context) {
    *context = &object;
    return 0;
}

API int cuGetErrorString(int error, const char **text) {
    *text = error ? "pretend error" : "no error";
    return 0;
}

API int cuGetErrorName(int error, const char **name) {
    *name = error ? "CUDA_ERROR" : "CUDA_SUCCESS";
    return 0;
}

API int cuModuleLoadData(void **module, const void *image) {
    *module = &object;
    return 0;
}

API int cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = &object;
    return 0;
}

API int cuModuleUnload(void *module) { return 0; }

API int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
        unsigned shared, void *stream, void **arguments, void **extra) {
    return pretend_submit(stream, LAUNCHES);
}

/* ---- Virtual memory, for expandable segments. */

API int cuMemGetAllocationGranularity(size_t *bytes, const void *properties, int option) {
    *bytes = 2 << 20;
    return 0;
}

API int cuMemAddressReserve(void **address, size_t bytes, size_t alignment, void *wanted, unsigned long long flags) {
    char *start =
            mmap(NULL, bytes + (2 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return 2;
    }
    *address = (void *)(((uintptr_t)start + (2 << 20) - 1) / (2 << 20) * (2 << 20));
    return 0;
}

API int cuMemAddressFree(void *address, size_t bytes) {
    munmap(address, bytes);
    return 0;
}

API int cuMemCreate(size_t **handle, size_t bytes, const void *properties, unsigned long long flags) {
    int error = pretend_take(bytes);
    if (!error) {
        *handle = malloc(sizeof **handle);
        **handle = bytes;
    }
    return error;
}

API int cuMemRelease(size_t *handle) {
    pretend_give(*handle);
    free(handle);
    return 0;
}

API int cuMemMap(void *address, size_t bytes, size_t offset, void *handle, unsigned long long flags) { return 0; }

API int cuMemSetAccess(void *address, size_t bytes, const void *access, size_t size) {
    return mprotect(address, bytes, PROT_READ | PROT_WRITE) ? 1 : 0;
}

API int cuMemUnmap(void *address, size_t bytes) {
    madvise(address, bytes, MADV_DONTNEED);
    return mprotect(address, bytes, PROT_NONE) ? 1 : 0;
}
