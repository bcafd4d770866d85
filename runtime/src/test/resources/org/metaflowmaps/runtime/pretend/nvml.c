/* The pretend management library: a device without NVLink and fabric. libtorch opens it by name. */
#include "pretend.h"

static int device;

API int nvmlInit_v2(void) { return 0; }

API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **handle) {
    *handle = &device;
    return 0;
}

API int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 13030;
    return 0;
}

API int nvmlDeviceGetComputeRunningProcesses(void *handle, unsigned *count, void *processes) {
    *count = 0;
    return 0;
}

/* Leaves the state at 0, not supported; libtorch accepts no error. */
API int nvmlDeviceGetGpuFabricInfoV(void *handle, void *information) { return 0; }

/* 3 is NVML_ERROR_NOT_SUPPORTED. */
API int nvmlDeviceGetNvLinkRemoteDeviceType(void *handle, unsigned link, unsigned *type) { return 3; }
API int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *handle, unsigned link, void *bus) { return 3; }
