// Gated residual + LayerNorm + modulate, forward and backward, in one pass over memory each:
//
//     sum = stream + gate * branch
//     output = (sum - mean(sum)) * rstd * (1 + scale) + shift
//
// over the last dimension; gate, shift and scale are one row per sample, shared by its tokens. Statistics and arithmetic are float32
// for all element types.
//
// Compile with WIDTH, the row length (a multiple of 128, at most 2048); STREAM, BRANCH and MODULATION, each float or bf16; and GATED, 0
// to normalise the stream itself.
#include "common.cuh"

#define WARPS 4                    // rows of a block of norm_forward
#define PIECES (WIDTH / 128)       // groups of four columns that a lane holds
#define BLOCK_WARPS (WIDTH / 128)  // of a block of norm_backward, whose threads hold four columns each

static_assert(WIDTH % 128 == 0 && WIDTH <= 2048, "WIDTH is a multiple of 128 up to 2048");

/**
 * One warp per row. Grid: rows / WARPS, rounded up; block: 32 * WARPS.
 *
 * modulation_stride: elements between the rows of gate, shift and scale.
 * mean, rstd: one float per row, for the backward pass.
 */
extern "C" __global__ void __launch_bounds__(32 * WARPS, PIECES > 12 ? 2 : 4) norm_forward(
        const STREAM* __restrict__ stream, const BRANCH* __restrict__ branch, const MODULATION* __restrict__ gate,
        const MODULATION* __restrict__ shift, const MODULATION* __restrict__ scale, i64 modulation_stride,
        STREAM* __restrict__ sum, BRANCH* __restrict__ output, float* __restrict__ mean, float* __restrict__ rstd, int rows,
        int tokens, float eps) {
    int row = blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= rows) {
        return;
    }
    int lane = threadIdx.x % 32;
    i64 start = (i64)row * WIDTH;
    i64 sample = (i64)(row / tokens) * modulation_stride;

    Four x[PIECES];
    float total = 0;
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        int column = 4 * (lane + 32 * i);
        x[i] = load4(stream + start + column);
#if GATED
        Four y = load4(branch + start + column), g = load4(gate + sample + column);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[i].at[j] += g.at[j] * y.at[j];
        }
        // Normalise what the backward pass will read.
        x[i] = rounded(stream, x[i]);
        store4(sum + start + column, x[i]);
#endif
        total += (x[i].at[0] + x[i].at[1]) + (x[i].at[2] + x[i].at[3]);
    }
    float m = warp_sum(total) / WIDTH;

    // A second pass over registers: a difference of squares would lose digits where the mean is large.
    float squares = 0;
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float d = x[i].at[j] - m;
            squares += d * d;
        }
    }
    float r = 1.0f / sqrtf(warp_sum(squares) / WIDTH + eps);
    if (lane == 0) {
        mean[row] = m;
        rstd[row] = r;
    }
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        int column = 4 * (lane + 32 * i);
        Four a = load4(shift + sample + column), s = load4(scale + sample + column), out;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            out.at[j] = (x[i].at[j] - m) * r * (1.0f + s.at[j]) + a.at[j];
        }
        store4(output + start + column, out);
    }
}

/** Two sums over the block, the same bits in every thread; needs one barrier, because calls alternate between two slots. */
INLINE void block_sum(float& first, float& second, float2 slots[2][BLOCK_WARPS], int turn) {
    first = warp_sum(first);
    second = warp_sum(second);
    float2* slot = slots[turn % 2];
    if (threadIdx.x % 32 == 0) {
        slot[threadIdx.x / 32] = make_float2(first, second);
    }
    __syncthreads();
    first = 0;
    second = 0;
#pragma unroll
    for (int i = 0; i < BLOCK_WARPS; i++) {
        float2 part = slot[i];
        first += part.x;
        second += part.y;
    }
}

/**
 * The gradients of stream and branch, and partial sums of those of gate, shift and scale. A block takes `chunk` tokens of one sample,
 * one after the other; a thread keeps the sums of its four columns in registers. Grid: chunks of a sample, samples; block: WIDTH / 4.
 *
 * sum_gradient: the gradient that reaches the sum from elsewhere; null for none.
 * partial: (samples, chunks, 3, WIDTH), the sums of gate, shift and scale in this order.
 */
extern "C" __global__ void __launch_bounds__(WIDTH / 4, 3072 / WIDTH) norm_backward(
        const BRANCH* __restrict__ output_gradient, const STREAM* __restrict__ sum_gradient, const STREAM* __restrict__ sum,
        const BRANCH* __restrict__ branch, const MODULATION* __restrict__ gate, const MODULATION* __restrict__ scale,
        i64 modulation_stride, const float* __restrict__ mean, const float* __restrict__ rstd,
        STREAM* __restrict__ stream_gradient, BRANCH* __restrict__ branch_gradient, float* __restrict__ partial, int tokens,
        int chunk) {
    __shared__ float2 slots[2][BLOCK_WARPS];
    int column = 4 * threadIdx.x;
    i64 sample = blockIdx.y;
    int first = blockIdx.x * chunk, last = min(first + chunk, tokens);

    Four s = load4(scale + sample * modulation_stride + column);
    Four gate_sum = {}, shift_sum = {}, scale_sum = {};
#if GATED
    Four g = load4(gate + sample * modulation_stride + column);
#endif
    for (int token = first; token < last; token++) {
        i64 row = sample * tokens + token;
        i64 at = row * WIDTH + column;
        float m = mean[row], r = rstd[row];
        Four unit = load4(sum + at), d = load4(output_gradient + at), from_sum = {};
        if (sum_gradient) {
            from_sum = load4(sum_gradient + at);
        }
#if GATED
        Four y = load4(branch + at);
#endif
        float along_one = 0, along_unit = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            unit.at[j] = (unit.at[j] - m) * r;
            shift_sum.at[j] += d.at[j];
            scale_sum.at[j] += d.at[j] * unit.at[j];
            d.at[j] *= 1.0f + s.at[j];
            along_one += d.at[j];
            along_unit += d.at[j] * unit.at[j];
        }
        block_sum(along_one, along_unit, slots, token);
        Four to_stream, to_branch;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float h = from_sum.at[j] + r * (d.at[j] - (along_one + unit.at[j] * along_unit) / WIDTH);
            to_stream.at[j] = h;
#if GATED
            to_branch.at[j] = h * g.at[j];
            gate_sum.at[j] += h * y.at[j];
#endif
        }
        store4(stream_gradient + at, to_stream);
#if GATED
        store4(branch_gradient + at, to_branch);
#endif
    }
    float* target = partial + ((sample * gridDim.x + blockIdx.x) * 3) * WIDTH + column;
    store4(target, gate_sum);
    store4(target + WIDTH, shift_sum);
    store4(target + 2 * WIDTH, scale_sum);
}

/**
 * Adds the partial sums of a sample's chunks in their order, so that results do not vary. Grid: WIDTH / 128, samples, 3; block: 128.
 *
 * gradients: gate, shift and scale of a sample start at gate_at, shift_at and scale_at of its row.
 */
extern "C" __global__ void __launch_bounds__(128) norm_backward_sums(
        const float* __restrict__ partial, MODULATION* __restrict__ gradients, i64 gradient_stride, i64 gate_at, i64 shift_at,
        i64 scale_at, int chunks) {
    int column = blockIdx.x * 128 + threadIdx.x;
    i64 sample = blockIdx.y;
    int which = blockIdx.z;
    i64 offset = which == 0 ? gate_at : which == 1 ? shift_at : scale_at;
    if (offset < 0) {
        return;
    }
    const float* source = partial + (sample * chunks * 3 + which) * WIDTH + column;
    float total = 0;
    for (int i = 0; i < chunks; i++) {
        total += source[(i64)i * 3 * WIDTH];
    }
    store(gradients + sample * gradient_stride + offset + column, total);
}
