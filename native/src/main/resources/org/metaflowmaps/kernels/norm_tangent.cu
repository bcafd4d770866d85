// Gated residual + LayerNorm + modulate with a directional derivative: the value of norm.cu and, in the same pass,
//
//     d_sum = d_stream + d_gate * branch + gate * d_branch
//     d_unit = rstd * (d_sum - mean(d_sum) - unit * mean(d_sum * unit))
//     d_output = d_unit * (1 + scale) + unit * d_scale + d_shift,      unit = (sum - mean(sum)) * rstd
//
// Compile with the constants of norm.cu. A tangent that is null is zero.
#include "common.cuh"

#define WARPS 4
#define PIECES (WIDTH / 128)

static_assert(WIDTH % 128 == 0 && WIDTH <= 2048, "WIDTH is a multiple of 128 up to 2048");

/**
 * One warp per row. Grid: rows / WARPS, rounded up; block: 32 * WARPS.
 *
 * modulation_stride: elements between the rows of gate, shift and scale; d_modulation_stride: between those of their tangents, which
 * are all given or all null.
 */
extern "C" __global__ void __launch_bounds__(32 * WARPS) norm_tangent(
        const STREAM* __restrict__ stream, const STREAM* __restrict__ d_stream, const BRANCH* __restrict__ branch,
        const BRANCH* __restrict__ d_branch, const MODULATION* __restrict__ gate, const MODULATION* __restrict__ shift,
        const MODULATION* __restrict__ scale, i64 modulation_stride, const MODULATION* __restrict__ d_gate,
        const MODULATION* __restrict__ d_shift, const MODULATION* __restrict__ d_scale, i64 d_modulation_stride,
        STREAM* __restrict__ sum, STREAM* __restrict__ d_sum, BRANCH* __restrict__ output, BRANCH* __restrict__ d_output,
        float* __restrict__ mean, float* __restrict__ rstd, int rows, int tokens, float eps) {
    int row = blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= rows) {
        return;
    }
    int lane = threadIdx.x % 32;
    i64 start = (i64)row * WIDTH;
    i64 sample = (i64)(row / tokens) * modulation_stride, d_sample = (i64)(row / tokens) * d_modulation_stride;

    Four x[PIECES], dx[PIECES];
    float total = 0, d_total = 0;
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        int column = 4 * (lane + 32 * i);
        i64 at = start + column;
        x[i] = load4(stream + at);
        dx[i] = Four{};
        if (d_stream) {
            dx[i] = load4(d_stream + at);
        }
#if GATED
        Four y = load4(branch + at), g = load4(gate + sample + column), dy = {}, dg = {};
        if (d_branch) {
            dy = load4(d_branch + at);
        }
        if (d_shift) {
            dg = load4(d_gate + d_sample + column);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[i].at[j] += g.at[j] * y.at[j];
            dx[i].at[j] += dg.at[j] * y.at[j] + g.at[j] * dy.at[j];
        }
        x[i] = rounded(stream, x[i]);
        dx[i] = rounded(stream, dx[i]);
        store4(sum + at, x[i]);
        store4(d_sum + at, dx[i]);
#endif
        total += (x[i].at[0] + x[i].at[1]) + (x[i].at[2] + x[i].at[3]);
        d_total += (dx[i].at[0] + dx[i].at[1]) + (dx[i].at[2] + dx[i].at[3]);
    }
    float m = warp_sum(total) / WIDTH, dm = warp_sum(d_total) / WIDTH;

    float squares = 0, products = 0;
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[i].at[j] -= m;
            dx[i].at[j] -= dm;
            squares += x[i].at[j] * x[i].at[j];
            products += x[i].at[j] * dx[i].at[j];
        }
    }
    float r = 1.0f / sqrtf(warp_sum(squares) / WIDTH + eps);
    // mean(d_sum * unit): the mean of d_sum drops out, because unit's mean is zero.
    float radial = warp_sum(products) * r / WIDTH;
    if (lane == 0) {
        mean[row] = m;
        rstd[row] = r;
    }
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        int column = 4 * (lane + 32 * i);
        Four a = load4(shift + sample + column), s = load4(scale + sample + column), da = {}, ds = {}, out, d_out;
        if (d_shift) {
            da = load4(d_shift + d_sample + column);
            ds = load4(d_scale + d_sample + column);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float unit = x[i].at[j] * r;
            float d_unit = r * (dx[i].at[j] - unit * radial);
            out.at[j] = unit * (1.0f + s.at[j]) + a.at[j];
            d_out.at[j] = d_unit * (1.0f + s.at[j]) + unit * ds.at[j] + da.at[j];
        }
        store4(output + start + column, out);
        store4(d_output + start + column, d_out);
    }
}
