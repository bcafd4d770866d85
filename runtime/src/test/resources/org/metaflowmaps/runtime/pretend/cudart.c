/*
 * A pretend CUDA runtime: libtorch's CUDA build runs with it on a machine without a GPU. Kernels are counted and not
 * executed. Device memory is reserved address space. Streams run at once, so every event is ready. Captures follow
 * CUDA's rules, with one stricter rule: work on the legacy stream during any capture is an error, because it would
 * be missing from the graph.
 */
#define _GNU_SOURCE
#include "pretend.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Contents are copied up to this size, so that small values survive a round trip; larger memory is never touched. */
static const size_t COPIED = 1 << 20;
static const size_t PAGE = 2 << 20;
static size_t capacity = (size_t)80 << 30;

enum mode { MODE_GLOBAL, MODE_THREAD, MODE_RELAXED };
enum status { STATUS_NONE, STATUS_ACTIVE, STATUS_INVALID };

struct stream;

struct capture {
    uint64_t id;
    enum mode mode;
    enum status status;
    pthread_t owner;
    struct stream *origin;
    uint64_t nodes;
    struct capture *next;
};

struct stream {
    int priority;
    struct capture *capture;
    /* Work in the capture, and how much of it another stream of the capture has waited for. */
    uint64_t work;
    uint64_t joined;
    struct stream *next;
};

struct event {
    uint64_t capture;
    struct stream *stream;
    uint64_t work;
    struct timespec time;
};

struct graph {
    uint64_t nodes;
};

struct block {
    char *address;
    size_t bytes;
    int host;
    struct block *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t count[COUNTERS];
static struct stream legacy, per_thread;
static struct stream *streams;
static struct capture *captures;
static uint64_t last_capture;
static struct block *blocks;
static __thread int last_error;
static __thread enum mode thread_mode = MODE_GLOBAL;

static int fail(int error) {
    if (error) {
        last_error = error;
    }
    return error;
}

/* Ends a call that holds the lock. */
static int leave(int error) {
    pthread_mutex_unlock(&lock);
    return fail(error);
}

/* ---- What tests read. */

API void pretend_counters(uint64_t *out) {
    pthread_mutex_lock(&lock);
    memcpy(out, count, sizeof count);
    pthread_mutex_unlock(&lock);
}

API void pretend_reset_peak(void) {
    pthread_mutex_lock(&lock);
    count[PEAK_BYTES] = count[BYTES];
    pthread_mutex_unlock(&lock);
}

API void pretend_set_capacity(size_t bytes) { capacity = bytes; }

#define NAMES 512
static struct {
    const char *name;
    uint64_t calls;
} missing[NAMES];

API void pretend_missing(const char *name) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < NAMES; i++) {
        if (!missing[i].name) {
            missing[i].name = name;
        }
        if (!strcmp(missing[i].name, name)) {
            missing[i].calls++;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

/* Writes "calls name" for each function that was called and has no implementation. */
API void pretend_write_missing(const char *path) {
    FILE *file = fopen(path, "w");
    for (int i = 0; file && i < NAMES && missing[i].name; i++) {
        fprintf(file, "%llu %s\n", (unsigned long long)missing[i].calls, missing[i].name);
    }
    if (file) {
        fclose(file);
    }
}

/* ---- Kernels, by the address of their host function. */

#define KERNELS (1 << 17)
static struct {
    const void *function;
    const char *name;
    uint64_t calls;
} kernels[KERNELS];

static unsigned slot(const void *function) {
    unsigned at = (unsigned)(((uintptr_t)function * 0x9E3779B97F4A7C15ull) >> 47);
    while (kernels[at].function && kernels[at].function != function) {
        at = (at + 1) % KERNELS;
    }
    return at;
}

API void pretend_reset_kernels(void) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < KERNELS; i++) {
        kernels[i].calls = 0;
    }
    pthread_mutex_unlock(&lock);
}

/* Writes "calls mangled-name" for each kernel that was launched. */
API void pretend_write_kernels(const char *path) {
    FILE *file = fopen(path, "w");
    pthread_mutex_lock(&lock);
    for (int i = 0; file && i < KERNELS; i++) {
        if (kernels[i].calls) {
            const char *name = kernels[i].name ? kernels[i].name : "?";
            fprintf(file, "%llu %s\n", (unsigned long long)kernels[i].calls, name);
        }
    }
    pthread_mutex_unlock(&lock);
    if (file) {
        fclose(file);
    }
}

/* ---- Captures. All functions here are called with the lock held. */

static struct stream *known(void *handle) {
    if (handle == NULL || handle == (void *)1) {
        return &legacy;
    }
    return handle == (void *)2 ? &per_thread : handle;
}

static struct capture *running(uint64_t id) {
    for (struct capture *it = captures; it; it = it->next) {
        if (it->id == id) {
            return it;
        }
    }
    return NULL;
}

static int submit(struct stream *stream) {
    if (stream == &legacy) {
        count[LEGACY_WORK]++;
        if (captures) {
            for (struct capture *it = captures; it; it = it->next) {
                it->status = STATUS_INVALID;
            }
            return CAPTURE_IMPLICIT;
        }
        return OK;
    }
    struct capture *capture = stream->capture;
    if (!capture) {
        return OK;
    }
    if (capture->status == STATUS_INVALID) {
        return CAPTURE_INVALIDATED;
    }
    capture->nodes++;
    count[CAPTURED_NODES]++;
    stream->work++;
    return OK;
}

/* For calls that CUDA calls potentially unsafe: refused during a capture, by the modes of capture and thread. */
static int unsafe(void) {
    if (thread_mode == MODE_RELAXED) {
        return OK;
    }
    for (struct capture *it = captures; it; it = it->next) {
        int own = pthread_equal(it->owner, pthread_self());
        int refused = it->mode != MODE_RELAXED && (own || (thread_mode == MODE_GLOBAL && it->mode == MODE_GLOBAL));
        if (refused) {
            it->status = STATUS_INVALID;
            return CAPTURE_UNSUPPORTED;
        }
    }
    return OK;
}

/* For calls that wait for a stream: never allowed if the stream is part of a capture. */
static int await(struct stream *stream) {
    if (stream == &legacy && captures) {
        return submit(stream);
    }
    if (stream->capture) {
        stream->capture->status = STATUS_INVALID;
        return CAPTURE_UNSUPPORTED;
    }
    return unsafe();
}

API int pretend_submit(void *stream, enum counter kind) {
    pthread_mutex_lock(&lock);
    int error = submit(known(stream));
    if (!error) {
        count[kind]++;
    }
    return leave(error);
}

API int cudaStreamBeginCapture(void *handle, int mode) {
    pthread_mutex_lock(&lock);
    struct stream *stream = known(handle);
    if (stream == &legacy) {
        return leave(CAPTURE_UNSUPPORTED);
    }
    if (stream->capture) {
        return leave(401);
    }
    struct capture *capture = calloc(1, sizeof *capture);
    capture->id = ++last_capture;
    capture->mode = mode;
    capture->status = STATUS_ACTIVE;
    capture->owner = pthread_self();
    capture->origin = stream;
    capture->next = captures;
    captures = capture;
    stream->capture = capture;
    stream->work = stream->joined = 0;
    return leave(OK);
}

API int cudaStreamEndCapture(void *handle, struct graph **graph) {
    pthread_mutex_lock(&lock);
    struct stream *stream = known(handle);
    struct capture *capture = stream->capture;
    *graph = NULL;
    if (!capture) {
        return leave(401);
    }
    if (capture->origin != stream) {
        capture->status = STATUS_INVALID;
        return leave(CAPTURE_UNMATCHED);
    }
    if (capture->mode != MODE_RELAXED && !pthread_equal(capture->owner, pthread_self())) {
        return leave(CAPTURE_WRONG_THREAD);
    }
    int error = capture->status == STATUS_INVALID ? CAPTURE_INVALIDATED : OK;
    for (struct stream *it = streams; it; it = it->next) {
        if (it->capture == capture) {
            if (!error && it != stream && it->joined < it->work) {
                error = CAPTURE_UNJOINED;
            }
            it->capture = NULL;
        }
    }
    for (struct capture **at = &captures; *at; at = &(*at)->next) {
        if (*at == capture) {
            *at = capture->next;
            break;
        }
    }
    if (!error) {
        *graph = calloc(1, sizeof **graph);
        (*graph)->nodes = capture->nodes;
        count[LIVE_GRAPHS]++;
    }
    free(capture);
    return leave(error);
}

API int cudaStreamIsCapturing(void *handle, int *status) {
    pthread_mutex_lock(&lock);
    struct stream *stream = known(handle);
    if (stream == &legacy && captures) {
        return leave(submit(stream));
    }
    *status = stream->capture ? (int)stream->capture->status : STATUS_NONE;
    return leave(OK);
}

API int cudaStreamGetCaptureInfo(
        void *handle, int *status, uint64_t *id, void **graph, const void **nodes, const void **edges, size_t *size) {
    pthread_mutex_lock(&lock);
    struct capture *capture = known(handle)->capture;
    *status = capture ? (int)capture->status : STATUS_NONE;
    if (id) {
        *id = capture ? capture->id : 0;
    }
    if (graph) {
        *graph = NULL;
    }
    if (nodes) {
        *nodes = NULL;
    }
    if (edges) {
        *edges = NULL;
    }
    if (size) {
        *size = 0;
    }
    return leave(OK);
}

API int cudaThreadExchangeStreamCaptureMode(int *mode) {
    int before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return OK;
}

API int cudaGraphGetNodes(struct graph *graph, void **nodes, size_t *size) {
    *size = graph->nodes;
    return OK;
}

API int cudaGraphInstantiateWithFlags(struct graph **runnable, struct graph *graph, unsigned long long flags) {
    pthread_mutex_lock(&lock);
    *runnable = malloc(sizeof **runnable);
    **runnable = *graph;
    count[LIVE_GRAPHS]++;
    return leave(OK);
}

API int cudaGraphLaunch(struct graph *runnable, void *stream) { return pretend_submit(stream, GRAPH_LAUNCHES); }

API int cudaGraphDestroy(struct graph *graph) {
    pthread_mutex_lock(&lock);
    free(graph);
    count[LIVE_GRAPHS]--;
    return leave(OK);
}

API int cudaGraphExecDestroy(struct graph *runnable) { return cudaGraphDestroy(runnable); }

/* ---- Streams and events. */

static int make(void **handle, int priority) {
    pthread_mutex_lock(&lock);
    int error = unsafe();
    if (error) {
        return leave(error);
    }
    struct stream *stream = calloc(1, sizeof *stream);
    stream->priority = priority;
    stream->next = streams;
    streams = stream;
    *handle = stream;
    return leave(OK);
}

API int cudaStreamCreate(void **handle) { return make(handle, 0); }
API int cudaStreamCreateWithFlags(void **handle, unsigned flags) { return make(handle, 0); }
API int cudaStreamCreateWithPriority(void **handle, unsigned flags, int priority) { return make(handle, priority); }
API int cudaStreamDestroy(void *handle) { return OK; }

API int cudaStreamGetPriority(void *handle, int *priority) {
    *priority = known(handle)->priority;
    return OK;
}

API int cudaStreamSynchronize(void *handle) {
    pthread_mutex_lock(&lock);
    count[SYNCHRONISATIONS]++;
    return leave(await(known(handle)));
}

API int cudaStreamQuery(void *handle) {
    pthread_mutex_lock(&lock);
    return leave(await(known(handle)));
}

API int cudaStreamWaitEvent(void *handle, struct event *event, unsigned flags) {
    pthread_mutex_lock(&lock);
    struct stream *stream = known(handle);
    struct capture *capture = running(event->capture);
    if (!capture) {
        /* A capturing stream may not depend on work outside its capture. */
        int outside = stream->capture && event->stream;
        if (outside) {
            stream->capture->status = STATUS_INVALID;
        }
        return leave(outside ? 905 : OK);
    }
    if (!stream->capture) {
        stream->capture = capture;
        stream->work = stream->joined = 0;
    }
    if (stream != event->stream && event->stream->joined < event->work) {
        event->stream->joined = event->work;
    }
    return leave(OK);
}

API int cudaStreamAddCallback(void *handle, void (*call)(void *, int, void *), void *data, unsigned flags) {
    int error = pretend_submit(handle, LAUNCHES);
    if (!error) {
        call(handle, OK, data);
    }
    return error;
}

API int cudaLaunchHostFunc(void *handle, void (*call)(void *), void *data) {
    int error = pretend_submit(handle, LAUNCHES);
    if (!error) {
        call(data);
    }
    return error;
}

API int cudaEventCreateWithFlags(struct event **event, unsigned flags) {
    pthread_mutex_lock(&lock);
    *event = calloc(1, sizeof **event);
    count[LIVE_EVENTS]++;
    return leave(OK);
}

API int cudaEventCreate(struct event **event) { return cudaEventCreateWithFlags(event, 0); }

API int cudaEventDestroy(struct event *event) {
    pthread_mutex_lock(&lock);
    count[LIVE_EVENTS]--;
    free(event);
    return leave(OK);
}

API int cudaEventRecordWithFlags(struct event *event, void *handle, unsigned flags) {
    pthread_mutex_lock(&lock);
    struct stream *stream = known(handle);
    if (stream == &legacy && captures) {
        return leave(submit(stream));
    }
    event->capture = stream->capture ? stream->capture->id : 0;
    event->stream = stream;
    event->work = stream->work;
    clock_gettime(CLOCK_MONOTONIC, &event->time);
    return leave(OK);
}

API int cudaEventRecord(struct event *event, void *handle) { return cudaEventRecordWithFlags(event, handle, 0); }

static int look(struct event *event) {
    if (running(event->capture)) {
        return CAPTURED_EVENT;
    }
    return unsafe();
}

API int cudaEventQuery(struct event *event) {
    pthread_mutex_lock(&lock);
    return leave(look(event));
}

API int cudaEventSynchronize(struct event *event) {
    pthread_mutex_lock(&lock);
    count[SYNCHRONISATIONS]++;
    return leave(look(event));
}

API int cudaEventElapsedTime(float *milliseconds, struct event *from, struct event *to) {
    *milliseconds = (float)((to->time.tv_sec - from->time.tv_sec) * 1e3 + (to->time.tv_nsec - from->time.tv_nsec) * 1e-6);
    return OK;
}

/* ---- Memory. */

API int pretend_take(size_t bytes) {
    pthread_mutex_lock(&lock);
    if (count[BYTES] + bytes > capacity) {
        return leave(OUT_OF_MEMORY);
    }
    count[ALLOCATIONS]++;
    count[BYTES] += bytes;
    if (count[BYTES] > count[PEAK_BYTES]) {
        count[PEAK_BYTES] = count[BYTES];
    }
    return leave(OK);
}

API void pretend_give(size_t bytes) {
    pthread_mutex_lock(&lock);
    count[FREES]++;
    count[BYTES] -= bytes;
    pthread_mutex_unlock(&lock);
}

static int checked(void) {
    pthread_mutex_lock(&lock);
    return leave(unsafe());
}

static int reserve(void **out, size_t bytes, int host) {
    size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
    char *start = mmap(
            NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return fail(OUT_OF_MEMORY);
    }
    /* Keep the aligned part only. */
    char *address = (char *)(((uintptr_t)start + PAGE - 1) / PAGE * PAGE);
    if (address > start) {
        munmap(start, (size_t)(address - start));
    }
    if (start + PAGE > address) {
        munmap(address + whole, (size_t)(start + PAGE - address));
    }
    struct block *block = calloc(1, sizeof *block);
    block->address = address;
    block->bytes = bytes;
    block->host = host;
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    *out = address;
    return leave(OK);
}

static int release(void *address) {
    pthread_mutex_lock(&lock);
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        struct block *block = *at;
        if (block->address == address) {
            *at = block->next;
            pthread_mutex_unlock(&lock);
            munmap(block->address, (block->bytes + PAGE - 1) / PAGE * PAGE);
            if (!block->host) {
                pretend_give(block->bytes);
            }
            free(block);
            return OK;
        }
    }
    return leave(INVALID_VALUE);
}

API int cudaMalloc(void **address, size_t bytes) {
    int error = checked();
    if (!error) {
        error = pretend_take(bytes);
    }
    return error ? error : reserve(address, bytes, 0);
}

API int cudaFree(void *address) {
    int error = checked();
    return error || !address ? error : release(address);
}

API int cudaHostAlloc(void **address, size_t bytes, unsigned flags) {
    int error = checked();
    return error ? error : reserve(address, bytes, 1);
}

API int cudaMallocHost(void **address, size_t bytes) { return cudaHostAlloc(address, bytes, 0); }

API int cudaFreeHost(void *address) {
    int error = checked();
    return error || !address ? error : release(address);
}

API int cudaHostRegister(void *address, size_t bytes, unsigned flags) {
    struct block *block = calloc(1, sizeof *block);
    block->address = address;
    block->bytes = bytes;
    block->host = 2;
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    return leave(OK);
}

API int cudaHostUnregister(void *address) {
    pthread_mutex_lock(&lock);
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        if ((*at)->address == address && (*at)->host == 2) {
            struct block *block = *at;
            *at = block->next;
            free(block);
            return leave(OK);
        }
    }
    return leave(713);
}

API int cudaMemGetInfo(size_t *available, size_t *total) {
    pthread_mutex_lock(&lock);
    *total = capacity;
    *available = capacity - count[BYTES];
    return leave(OK);
}

/* Returns the block of an address, or NULL for pageable memory; the lock is held. */
static struct block *holder(const void *address) {
    for (struct block *it = blocks; it; it = it->next) {
        if ((const char *)address >= it->address && (const char *)address < it->address + it->bytes) {
            return it;
        }
    }
    return NULL;
}

struct attributes {
    int type;
    int device;
    void *on_device;
    void *on_host;
    long reserved[8];
};

API int cudaPointerGetAttributes(struct attributes *out, const void *address) {
    pthread_mutex_lock(&lock);
    struct block *block = holder(address);
    memset(out, 0, sizeof *out);
    out->type = block ? (block->host ? 1 : 2) : 0;
    out->on_device = block ? (void *)address : NULL;
    out->on_host = block && !block->host ? NULL : (void *)address;
    return leave(OK);
}

enum { HOST_TO_HOST, TO_DEVICE, TO_HOST, ON_DEVICE, DEFAULT };

static enum counter copy_kind(int kind) {
    return kind == TO_DEVICE ? COPIES_TO_DEVICE : kind == TO_HOST ? COPIES_TO_HOST : COPIES_ON_DEVICE;
}

static void move(void *to, const void *from, size_t bytes, int kind) {
    if (kind == TO_HOST && bytes == 1) {
        /* A single byte is a truth value: checks that kernels would have computed succeed. */
        *(char *)to = 1;
    } else if (bytes <= COPIED || kind == HOST_TO_HOST) {
        memmove(to, from, bytes);
    } else if (kind == TO_HOST) {
        memset(to, 0, bytes);
    }
}

API int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *handle) {
    pthread_mutex_lock(&lock);
    struct stream *stream = known(handle);
    int pageable = (kind == TO_DEVICE && !holder(from)) || (kind == TO_HOST && !holder(to));
    if (pageable && stream->capture) {
        stream->capture->status = STATUS_INVALID;
        return leave(CAPTURE_UNSUPPORTED);
    }
    int error = submit(stream);
    if (!error) {
        count[copy_kind(kind)]++;
        move(to, from, bytes, kind);
    }
    return leave(error);
}

API int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
    int error = cudaMemcpyAsync(to, from, bytes, kind, NULL);
    return error ? error : cudaStreamSynchronize(NULL);
}

API int cudaMemcpyPeerAsync(void *to, int device, const void *from, int source, size_t bytes, void *stream) {
    return cudaMemcpyAsync(to, from, bytes, ON_DEVICE, stream);
}

API int cudaMemsetAsync(void *at, int value, size_t bytes, void *stream) {
    int error = pretend_submit(stream, MEMSETS);
    if (!error && bytes <= COPIED) {
        memset(at, value, bytes);
    }
    return error;
}

API int cudaMemset(void *at, int value, size_t bytes) { return cudaMemsetAsync(at, value, bytes, NULL); }

API int cudaGetSymbolAddress(void **address, const void *symbol) {
    *address = (void *)symbol;
    return OK;
}

/* ---- Kernels. */

struct dim3 {
    unsigned x, y, z;
};

static __thread struct {
    struct dim3 grid, block;
    size_t shared;
    void *stream;
} configuration;

static int launch(const void *function, void *stream) {
    pthread_mutex_lock(&lock);
    int error = submit(known(stream));
    if (!error) {
        count[LAUNCHES]++;
        unsigned at = slot(function);
        kernels[at].function = function;
        kernels[at].calls++;
    }
    return leave(error);
}

API void **__cudaRegisterFatBinary(void *code) {
    static void *handle;
    return &handle;
}

API void __cudaRegisterFatBinaryEnd(void **handle) {}
API void __cudaUnregisterFatBinary(void **handle) {}

API void __cudaRegisterFunction(void **handle, const void *function, char *device, const char *name, int limit, void *a,
        void *b, void *c, void *d, int *warp) {
    pthread_mutex_lock(&lock);
    unsigned at = slot(function);
    kernels[at].function = function;
    kernels[at].name = name;
    pthread_mutex_unlock(&lock);
}

API void __cudaRegisterVar(
        void **handle, char *variable, char *device, const char *name, int external, size_t bytes, int c, int global) {}

API unsigned __cudaPushCallConfiguration(struct dim3 grid, struct dim3 block, size_t shared, void *stream) {
    configuration.grid = grid;
    configuration.block = block;
    configuration.shared = shared;
    configuration.stream = stream;
    return 0;
}

API int __cudaPopCallConfiguration(struct dim3 *grid, struct dim3 *block, size_t *shared, void **stream) {
    *grid = configuration.grid;
    *block = configuration.block;
    *shared = configuration.shared;
    *stream = configuration.stream;
    return OK;
}

API int __cudaGetKernel(const void **kernel, const void *function) {
    *kernel = function;
    return OK;
}

API int __cudaLaunchKernel(
        const void *kernel, struct dim3 grid, struct dim3 block, void **arguments, size_t shared, void *stream) {
    return launch(kernel, stream);
}

API int cudaLaunchKernel(
        const void *function, struct dim3 grid, struct dim3 block, void **arguments, size_t shared, void *stream) {
    return launch(function, stream);
}

struct launch_configuration {
    struct dim3 grid, block;
    size_t shared;
    void *stream;
};

API int cudaLaunchKernelExC(const struct launch_configuration *given, const void *function, void **arguments) {
    return launch(function, given->stream);
}

struct function_attributes {
    size_t shared, constant, local;
    int threads, registers, ptx, binary, cache, dynamic_shared, carveout;
};

API int cudaFuncGetAttributes(struct function_attributes *out, const void *function) {
    struct function_attributes found = {
            .threads = 1024, .registers = 32, .ptx = 90, .binary = 90, .dynamic_shared = 227 << 10};
    memcpy(out, &found, sizeof found);
    return OK;
}

API int cudaProfilerStart(void) { return OK; }

API int cudaProfilerStop(void) { return OK; }

API int cudaFuncSetAttribute(const void *function, int attribute, int value) { return OK; }

API int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        int *blocks_out, const void *function, int threads, size_t shared, unsigned flags) {
    int fit = threads > 0 ? 2048 / threads : 1;
    *blocks_out = fit < 1 ? 1 : fit > 32 ? 32 : fit;
    return OK;
}

API int cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        int *blocks_out, const void *function, int threads, size_t shared) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks_out, function, threads, shared, 0);
}

/* ---- The device: one, with the limits of an H100. */

API int cudaGetDeviceCount(int *devices) {
    *devices = 1;
    return OK;
}

API int cudaGetDevice(int *device) {
    *device = 0;
    return OK;
}

API int cudaSetDevice(int device) { return fail(device ? INVALID_DEVICE : OK); }

API int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    static const struct {
        int attribute, value;
    } known_values[] = {
            {1, 1024},        /* threads per block */
            {2, 1024},        /* block in x, y, z */
            {3, 1024},
            {4, 64},
            {5, 2147483647},  /* grid in x, y, z */
            {6, 65535},
            {7, 65535},
            {8, 48 << 10},    /* shared memory per block */
            {10, 32},         /* warp */
            {12, 65536},      /* registers per block */
            {16, 132},        /* multiprocessors */
            {38, 50 << 20},   /* second-level cache */
            {39, 2048},       /* threads per multiprocessor */
            {41, 1},          /* unified addressing */
            {75, 9},          /* compute capability */
            {76, 0},
            {81, 228 << 10},  /* shared memory per multiprocessor */
            {82, 65536},      /* registers per multiprocessor */
            {97, 227 << 10},  /* shared memory per block, on request */
            {102, 1},         /* virtual memory management */
            {106, 32},        /* blocks per multiprocessor */
    };
    *value = 0;
    for (size_t i = 0; i < sizeof known_values / sizeof *known_values; i++) {
        if (known_values[i].attribute == attribute) {
            *value = known_values[i].value;
        }
    }
    return fail(device ? INVALID_DEVICE : OK);
}

/* cudaDeviceProp of CUDA 13; fields that nobody reads are in the gaps. */
struct properties {
    char name[256];
    char identity[28];
    char gap0[4];
    size_t memory;
    size_t shared_per_block;
    int registers_per_block;
    int warp;
    size_t pitch;
    int threads_per_block;
    int block[3];
    int grid[3];
    size_t constant;
    int major, minor;
    size_t texture_alignment, texture_pitch_alignment;
    int multiprocessors;
    int integrated;
    int maps_host;
    int textures[39];
    size_t surface_alignment;
    int concurrent_kernels;
    int error_correction;
    int pci[3];
    int driver_model;
    int engines;
    int unified_addressing;
    int bus_width;
    int cache, persisting_cache;
    int threads_per_multiprocessor;
    int priorities;
    int first_level_caches[2];
    size_t shared_per_multiprocessor;
    int registers_per_multiprocessor;
    int managed;
    int gap1[8];
    size_t shared_on_request;
    int gap2[2];
    int blocks_per_multiprocessor;
    int window;
    size_t shared_reserved;
    int gap3[20];
    int reserved[56];
};

_Static_assert(sizeof(struct properties) == 1008, "the size of cudaDeviceProp");

API int cudaGetDeviceProperties(struct properties *out, int device) {
    struct properties found = {
            .name = "Pretend H100",
            .memory = capacity,
            .shared_per_block = 48 << 10,
            .registers_per_block = 65536,
            .warp = 32,
            .pitch = 2147483647,
            .threads_per_block = 1024,
            .block = {1024, 1024, 64},
            .grid = {2147483647, 65535, 65535},
            .constant = 64 << 10,
            .major = 9,
            .texture_alignment = 512,
            .multiprocessors = 132,
            .concurrent_kernels = 1,
            .unified_addressing = 1,
            .cache = 50 << 20,
            .threads_per_multiprocessor = 2048,
            .priorities = 1,
            .shared_per_multiprocessor = 228 << 10,
            .registers_per_multiprocessor = 65536,
            .managed = 1,
            .shared_on_request = 227 << 10,
            .blocks_per_multiprocessor = 32,
            .shared_reserved = 1 << 10,
    };
    if (device) {
        return fail(INVALID_DEVICE);
    }
    memcpy(out, &found, sizeof found);
    return OK;
}

API int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    if (least) {
        *least = 0;
    }
    if (greatest) {
        *greatest = -5;
    }
    return OK;
}

API int cudaDeviceSynchronize(void) {
    pthread_mutex_lock(&lock);
    count[SYNCHRONISATIONS]++;
    if (captures) {
        captures->status = STATUS_INVALID;
        return leave(CAPTURE_UNSUPPORTED);
    }
    return leave(OK);
}

API int cudaDeviceCanAccessPeer(int *can, int device, int peer) {
    *can = 0;
    return OK;
}

API int cudaDeviceGetPCIBusId(char *id, int size, int device) {
    snprintf(id, (size_t)size, "0000:00:00.0");
    return OK;
}

API int cudaRuntimeGetVersion(int *version) {
    *version = 13030;
    return OK;
}

API int cudaDriverGetVersion(int *version) {
    *version = 13030;
    return OK;
}

/* ---- Errors. */

API int cudaGetLastError(void) {
    int error = last_error;
    last_error = OK;
    return error;
}

API int cudaPeekAtLastError(void) { return last_error; }

static const struct {
    int error;
    const char *name, *text;
} errors[] = {
        {OK, "cudaSuccess", "no error"},
        {INVALID_VALUE, "cudaErrorInvalidValue", "invalid argument"},
        {OUT_OF_MEMORY, "cudaErrorMemoryAllocation", "out of memory"},
        {100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
        {INVALID_DEVICE, "cudaErrorInvalidDevice", "invalid device ordinal"},
        {INVALID_HANDLE, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
        {401, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
        {NOT_READY, "cudaErrorNotReady", "device not ready"},
        {713, "cudaErrorHostMemoryNotRegistered", "pointer does not correspond to a registered memory region"},
        {CAPTURE_UNSUPPORTED, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
        {CAPTURE_INVALIDATED, "cudaErrorStreamCaptureInvalidated",
                "operation failed due to a previous error during capture"},
        {CAPTURE_UNMATCHED, "cudaErrorStreamCaptureUnmatched", "capture was not initiated in this stream"},
        {CAPTURE_UNJOINED, "cudaErrorStreamCaptureUnjoined", "capture has work that was not joined"},
        {905, "cudaErrorStreamCaptureIsolation", "dependency on uncaptured work in another stream"},
        {CAPTURE_IMPLICIT, "cudaErrorStreamCaptureImplicit",
                "operation would make the legacy stream depend on a capturing blocking stream"},
        {CAPTURED_EVENT, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capture"},
        {CAPTURE_WRONG_THREAD, "cudaErrorStreamCaptureWrongThread", "capture was ended in another thread"},
};

API const char *cudaGetErrorName(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error) {
            return errors[i].name;
        }
    }
    return "cudaErrorUnknown";
}

API const char *cudaGetErrorString(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error) {
            return errors[i].text;
        }
    }
    return "unknown error";
}

/* ---- Functions of the driver by name. */

static int absent(void) { return 801; }

API int cudaGetDriverEntryPointByVersion(
        const char *name, void **function, unsigned version, unsigned long long flags, int *result) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *found = driver ? dlsym(driver, name) : NULL;
    *function = found ? found : (void *)absent;
    if (result) {
        *result = 0;
    }
    return OK;
}

API int cudaGetDriverEntryPoint(const char *name, void **function, unsigned long long flags, int *result) {
    return cudaGetDriverEntryPointByVersion(name, function, 0, flags, result);
}
