// GELU in its tanh form, with a directional derivative or a gradient, in one pass over memory. Compile with ELEMENT, float or bf16.
#include "common.cuh"

#define ROOT_2_OVER_PI 0.7978845608028654f
#define CUBIC 0.044715f

/** The value at x and the derivative there: x * cdf and cdf + x * density, with the tanh form of the normal distribution. */
INLINE float2 gelu(float x) {
    float square = x * x;
    float t = tanhf(ROOT_2_OVER_PI * x * (1.0f + CUBIC * square));
    float cdf = 0.5f * (1.0f + t);
    float density = 0.5f * (1.0f - t * t) * ROOT_2_OVER_PI * (1.0f + 3.0f * CUBIC * square);
    return make_float2(x * cdf, cdf + x * density);
}

INLINE i64 index4() { return 4 * ((i64)blockIdx.x * blockDim.x + threadIdx.x); }

/**
 * output = gelu(x), d_output = gelu'(x) * dx; output may be x, and d_output dx. Grid: count / 1024, rounded up; block: 256. Count is a
 * multiple of 4.
 */
extern "C" __global__ void __launch_bounds__(256) gelu_tangent(
        const ELEMENT* x, const ELEMENT* dx, ELEMENT* output, ELEMENT* d_output, i64 count) {
    i64 at = index4();
    if (at >= count) {
        return;
    }
    Four value = load4(x + at), direction = load4(dx + at), out, d_out;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float2 g = gelu(value.at[j]);
        out.at[j] = g.x;
        d_out.at[j] = g.y * direction.at[j];
    }
    store4(output + at, out);
    store4(d_output + at, d_out);
}

/** input_gradient = gelu'(x) * gradient; grid and block as above. */
extern "C" __global__ void __launch_bounds__(256) gelu_backward(
        const ELEMENT* __restrict__ x, const ELEMENT* __restrict__ gradient, ELEMENT* __restrict__ input_gradient, i64 count) {
    i64 at = index4();
    if (at >= count) {
        return;
    }
    Four value = load4(x + at), d = load4(gradient + at);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        d.at[j] *= gelu(value.at[j]).y;
    }
    store4(input_gradient + at, d);
}
