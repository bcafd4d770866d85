/* What the parts of the pretend CUDA share. Error numbers are those of cudaError_t. */
#ifndef PRETEND_H
#define PRETEND_H

#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))

enum {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_HANDLE = 400,
    NOT_READY = 600,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908
};

/* The order is that of PretendCuda.Counters. */
enum counter {
    LAUNCHES,
    GEMMS,
    MEMSETS,
    COPIES_ON_DEVICE,
    COPIES_TO_DEVICE,
    COPIES_TO_HOST,
    SYNCHRONISATIONS,
    ALLOCATIONS,
    FREES,
    GRAPH_LAUNCHES,
    CAPTURED_NODES,
    LEGACY_WORK,
    BYTES,
    PEAK_BYTES,
    LIVE_GRAPHS,
    LIVE_EVENTS,
    COUNTERS
};

/* Counts work on a stream, or adds it to the stream's capture; returns a cudaError_t. */
API int pretend_submit(void *stream, enum counter kind);

/* Counts a call of a function that has no implementation. */
API void pretend_missing(const char *name);

/* Accounts for device memory; returns OUT_OF_MEMORY if the device has less. */
API int pretend_take(size_t bytes);
API void pretend_give(size_t bytes);

#endif
