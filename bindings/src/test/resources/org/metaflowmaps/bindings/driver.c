/* A CUDA driver for tests without a GPU: it checks nothing and prints what it is called with. */
#include <stdio.h>
#include <string.h>

typedef long long handle;

int cuInit(unsigned flags) {
    printf("init %u\n", flags);
    return 0;
}

int cuGetErrorName(int error, const char** name) {
    *name = error == 218 ? "CUDA_ERROR_INVALID_PTX" : "CUDA_ERROR_UNKNOWN";
    return 0;
}

int cuDeviceGet(int* device, int index) {
    printf("device %d\n", index);
    *device = 10 + index;
    return 0;
}

int cuDevicePrimaryCtxRetain(handle* context, int device) {
    printf("retain %d\n", device);
    *context = 0x7700000000 + device;
    return 0;
}

int cuCtxPushCurrent_v2(handle context) {
    printf("push %llx\n", context);
    return 0;
}

int cuCtxPopCurrent_v2(handle* context) {
    printf("pop\n");
    *context = 0;
    return 0;
}

int cuModuleLoadData(handle* module, const char* image) {
    printf("load %s\n", image);
    *module = 0x5500000001;
    return strcmp(image, "bad") == 0 ? 218 : 0;
}

int cuModuleGetFunction(handle* function, handle module, const char* name) {
    printf("function %llx %s\n", module, name);
    *function = 0x5500000002;
    return 0;
}

int cuModuleUnload(handle module) {
    printf("unload %llx\n", module);
    return 0;
}

int cuLaunchKernel(handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   handle stream, void** arguments, void** extra) {
    printf("launch %llx grid %u %u %u block %u %u %u shared %u stream %llx arguments %d %g extra %d\n", function, gx, gy, gz, bx,
           by, bz, shared, stream, *(int*)arguments[0], *(double*)arguments[1], extra != 0);
    fflush(stdout);
    return 0;
}
