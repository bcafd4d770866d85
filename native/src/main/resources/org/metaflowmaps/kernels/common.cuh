// Element types, vector loads and warp sums that all kernels share. NVRTC compiles this without any CUDA header; a host compiler
// takes the CUDA names from the tests' host.h, so that the same sources are checked on the CPU.
#pragma once

#ifndef __CUDACC__
#include "host.h"
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;

#define INLINE __device__ __forceinline__
#define FULL_WARP 0xffffffffu

/** The upper half of a float32. */
struct bf16 {
    u16 bits;
};

INLINE float to_float(float value) { return value; }
INLINE float to_float(bf16 value) { return __uint_as_float((u32)value.bits << 16); }

/** Two floats rounded to the nearest bf16, the first in the lower half. */
INLINE u32 pack(float low, float high) {
#ifdef __CUDACC__
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#else
    return host_bf16(low) | host_bf16(high) << 16;
#endif
}

INLINE float low_half(u32 packed) { return __uint_as_float(packed << 16); }
INLINE float high_half(u32 packed) { return __uint_as_float(packed & 0xffff0000u); }

INLINE void store(float* target, float value) { *target = value; }
INLINE void store(bf16* target, float value) { target->bits = (u16)pack(value, 0.0f); }

/** Four elements in one load: 16 bytes of float32 or 8 bytes of bf16. */
struct Four {
    float at[4];
};

INLINE Four load4(const float* source) {
    float4 v = *(const float4*)source;
    return Four{{v.x, v.y, v.z, v.w}};
}

INLINE Four load4(const bf16* source) {
    uint2 v = *(const uint2*)source;
    return Four{{low_half(v.x), high_half(v.x), low_half(v.y), high_half(v.y)}};
}

INLINE void store4(float* target, Four v) { *(float4*)target = make_float4(v.at[0], v.at[1], v.at[2], v.at[3]); }

INLINE void store4(bf16* target, Four v) {
    *(uint2*)target = make_uint2(pack(v.at[0], v.at[1]), pack(v.at[2], v.at[3]));
}

/** The values that a reader of the stored elements will see. */
INLINE Four rounded(const float*, Four v) { return v; }

INLINE Four rounded(const bf16*, Four v) {
    u32 first = pack(v.at[0], v.at[1]), second = pack(v.at[2], v.at[3]);
    return Four{{low_half(first), high_half(first), low_half(second), high_half(second)}};
}

/** The sum over a warp, the same bits in every lane. */
INLINE float warp_sum(float value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(FULL_WARP, value, distance);
    }
    return value;
}
