// Lets a host compiler build the kernels, to check their arithmetic without a GPU: the CUDA names that they use, and a launcher that
// runs a block's threads as fibers of one thread. Barriers, shuffles and matrix instructions switch to the next fiber until all have
// arrived. Barriers in the wrong order are reported as a deadlock. What it does not show: races, speed, and whether the
// layouts of matrix instructions below are the hardware's (they follow the PTX manual).
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
    unsigned x, y, z;
};
struct uint2 {
    unsigned x, y;
};
struct uint4 {
    unsigned x, y, z, w;
};
struct float2 {
    float x, y;
};
struct float4 {
    float x, y, z, w;
};

static inline uint2 make_uint2(unsigned x, unsigned y) { return uint2{x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4{x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return float2{x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
static inline int min(int a, int b) { return a < b ? a : b; }

static inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/** Rounds to nearest even, as cvt.rn does. */
static inline unsigned host_bf16(float value) {
    unsigned bits = __float_as_uint(value);
    return value != value ? 0x7fff : ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) & 0xffff;
}

enum { MOST_THREADS = 1024, STACK_BYTES = 1 << 16 };

/** Of the threads that wait for each other: a warp or a block. */
struct Barrier {
    int size, arrived;
    unsigned turn;
};

/** What the lanes of a warp exchange; two slots in turns, so that one barrier per exchange is enough. */
struct Warp {
    Barrier barrier;
    struct {
        float value;
        unsigned a[4], b[2];
        const void* row;
    } slots[2][32];
};

struct Fiber {
    ucontext_t context;
    bool done;
    unsigned exchanges;
};

static uint3 threadIdx, blockIdx, blockDim, gridDim;
static Fiber fibers[MOST_THREADS];
static Warp warps[MOST_THREADS / 32];
static Barrier block_barrier;
static int current, threads;
static ucontext_t launcher;
static void (*body)(void** arguments);
static void** body_arguments;
static char* stacks;

static inline void next_fiber() {
    int from = current;
    swapcontext(&fibers[from].context, &launcher);
    threadIdx.x = from;
}

static inline void await(Barrier* barrier) {
    unsigned turn = barrier->turn;
    if (++barrier->arrived == barrier->size) {
        barrier->arrived = 0;
        barrier->turn++;
        return;
    }
    while (barrier->turn == turn) {
        next_fiber();
    }
}

static inline void __syncthreads() { await(&block_barrier); }

static inline Warp* own_warp() { return &warps[threadIdx.x / 32]; }

static inline float __shfl_xor_sync(unsigned, float value, int distance) {
    Warp* warp = own_warp();
    int lane = threadIdx.x % 32, slot = fibers[threadIdx.x].exchanges++ % 2;
    warp->slots[slot][lane].value = value;
    await(&warp->barrier);
    return warp->slots[slot][lane ^ distance].value;
}

static inline float host_half(unsigned packed, int upper) {
    return __uint_as_float(upper ? packed & 0xffff0000u : packed << 16);
}

/** mma.m16n8k16: the lane's elements of a are rows lane/4 (+8), columns 2(lane%4) (+1, +8); of b, rows 2(lane%4) (+1, +8), column lane/4. */
static inline void host_multiply(float sum[4], const unsigned a[4], unsigned b0, unsigned b1) {
    Warp* warp = own_warp();
    int lane = threadIdx.x % 32, slot = fibers[threadIdx.x].exchanges++ % 2;
    auto* slots = warp->slots[slot];
    memcpy(slots[lane].a, a, sizeof slots[lane].a);
    slots[lane].b[0] = b0;
    slots[lane].b[1] = b1;
    await(&warp->barrier);
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            float left = host_half(slots[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], k % 2);
            float right = host_half(slots[column * 4 + k % 8 / 2].b[k / 8], k % 2);
            sum[i] += left * right;
        }
    }
}

/** ldmatrix.x4: matrix i has its rows at the addresses of lanes 8i to 8i+7; a lane gets row lane/4, columns 2(lane%4) and the next. */
static inline void host_load_matrices(unsigned target[4], const void* row, bool transposed) {
    Warp* warp = own_warp();
    int lane = threadIdx.x % 32, slot = fibers[threadIdx.x].exchanges++ % 2;
    auto* slots = warp->slots[slot];
    if ((size_t)row % 16 != 0) {
        fprintf(stderr, "ldmatrix: a row does not start at a multiple of 16 bytes\n");
        abort();
    }
    slots[lane].row = row;
    await(&warp->barrier);
    for (int i = 0; i < 4; i++) {
        unsigned short pair[2];
        for (int j = 0; j < 2; j++) {
            int r = transposed ? lane % 4 * 2 + j : lane / 4, c = transposed ? lane / 4 : lane % 4 * 2 + j;
            pair[j] = ((const unsigned short*)slots[8 * i + r].row)[c];
        }
        target[i] = pair[0] | (unsigned)pair[1] << 16;
    }
}

static void run_fiber() {
    body(body_arguments);
    fibers[current].done = true;
    swapcontext(&fibers[current].context, &launcher);
}

/** Runs one block to its end; returns false if its threads wait for each other forever. */
static bool run_block() {
    for (int i = 0; i < threads; i++) {
        Fiber* fiber = &fibers[i];
        getcontext(&fiber->context);
        fiber->context.uc_stack.ss_sp = stacks + (size_t)i * STACK_BYTES;
        fiber->context.uc_stack.ss_size = STACK_BYTES;
        fiber->context.uc_link = &launcher;
        makecontext(&fiber->context, run_fiber, 0);
        fiber->done = false;
        fiber->exchanges = 0;
        warps[i / 32].barrier = Barrier{32, 0, 0};
    }
    block_barrier = Barrier{threads, 0, 0};
    int left = threads;
    unsigned idle = 0;
    while (left > 0) {
        unsigned turns = block_barrier.turn;
        for (int i = 0; i < threads / 32; i++) {
            turns += warps[i].barrier.turn;
        }
        int before = left;
        for (current = 0; current < threads; current++) {
            if (!fibers[current].done) {
                threadIdx.x = current;
                swapcontext(&launcher, &fibers[current].context);
                left -= fibers[current].done;
            }
        }
        unsigned after = block_barrier.turn;
        for (int i = 0; i < threads / 32; i++) {
            after += warps[i].barrier.turn;
        }
        idle = after == turns && left == before ? idle + 1 : 0;
        if (idle > 2) {
            return false;
        }
    }
    return true;
}

/** As cuLaunchKernel; returns 0, or 1 for a deadlock, 2 for a block that this launcher cannot run. */
static int host_launch(void (*kernel)(void**), const unsigned* grid, const unsigned* block, void** arguments) {
    threads = (int)block[0];
    if (block[1] != 1 || block[2] != 1 || threads > MOST_THREADS || (threads % 32 != 0 && threads != 1)) {
        return 2;
    }
    stacks = (char*)malloc((size_t)threads * STACK_BYTES);
    body = kernel;
    body_arguments = arguments;
    gridDim = uint3{grid[0], grid[1], grid[2]};
    blockDim = uint3{block[0], 1, 1};
    bool ended = true;
    for (unsigned z = 0; ended && z < grid[2]; z++) {
        for (unsigned y = 0; ended && y < grid[1]; y++) {
            for (unsigned x = 0; ended && x < grid[0]; x++) {
                blockIdx = uint3{x, y, z};
                ended = run_block();
            }
        }
    }
    free(stacks);
    return ended ? 0 : 1;
}

template <class T>
struct Argument {
    typedef T type;
};

template <int... I>
struct Indices {};

template <int N, int... I>
struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};

template <int... I>
struct MakeIndices<0, I...> {
    typedef Indices<I...> type;
};

template <class... A, int... I>
static inline void call(void (*kernel)(A...), void** arguments, Indices<I...>) {
    kernel(*(A*)arguments[I]...);
}

template <class... A>
static inline void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, typename MakeIndices<sizeof...(A)>::type());
}

/** Defines the entry point of a kernel: its name with the suffix _host. */
#define HOST_KERNEL(kernel)                                                                                   \
    extern "C" int kernel##_host(const unsigned* grid, const unsigned* block, void** arguments) {             \
        return host_launch([](void** values) { call(kernel, values); }, grid, block, arguments);              \
    }
