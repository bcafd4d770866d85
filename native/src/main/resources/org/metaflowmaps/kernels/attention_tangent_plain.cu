// The tangent of attention, the readable version: the reference for attention_tangent.cu, and the kernel for float32.
//
// With scores S = scale * Q K^T and weights P = softmax(S) = exp(S - logsumexp), which the value's pass has already normalised:
//
//     dS = scale * (dQ K^T + Q dK^T)
//     dO_i = sum_j P_ij (dS_ij - mu_i) V_j + P_ij dV_j,      mu_i = sum_j P_ij dS_ij
//          = sum_j P_ij (dS_ij V_j + dV_j) - mu_i O_i
//
// because sum_j P_ij V_j is the value O_i. So one loop over the keys is enough and no sum is rescaled.
//
// Compile with HEAD, the width of a head (at most 128), and ELEMENT, float or bf16.
#include "common.cuh"

#define COLUMNS ((HEAD + 31) / 32)  // of a head, per lane
#define WARPS 4

static_assert(HEAD <= 128, "HEAD is at most 128");

/** A tensor (batch, heads, tokens, HEAD); strides in elements, the last dimension without gaps. */
struct Heads {
    ELEMENT* data;
    i64 batch, head, token;
};

INLINE ELEMENT* row_of(const Heads& heads, int batch, int head, int token) {
    return heads.data + batch * heads.batch + head * heads.head + token * heads.token;
}

/** The lane's columns of a row; zeros past the end. */
INLINE void read(float target[COLUMNS], const ELEMENT* row, int lane) {
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
        int column = lane + 32 * i;
        target[i] = column < HEAD ? to_float(row[column]) : 0.0f;
    }
}

/**
 * One warp per query. Grid: queries / WARPS, rounded up, heads, batch; block: 32 * WARPS.
 *
 * logsumexp: of the scores, natural logarithm, (batch, heads, queries). A null dq, dk or dv is zero.
 */
extern "C" __global__ void __launch_bounds__(32 * WARPS) attention_tangent(
        Heads q, Heads k, Heads v, Heads dq, Heads dk, Heads dv, Heads o, Heads target, const float* __restrict__ logsumexp,
        int queries, int keys, float scale) {
    int query = blockIdx.x * WARPS + threadIdx.x / 32, head = blockIdx.y, batch = blockIdx.z;
    if (query >= queries) {
        return;
    }
    int lane = threadIdx.x % 32;
    float own[COLUMNS], d_own[COLUMNS] = {}, sum[COLUMNS] = {};
    read(own, row_of(q, batch, head, query), lane);
    if (dq.data) {
        read(d_own, row_of(dq, batch, head, query), lane);
    }
    float lse = logsumexp[((i64)batch * gridDim.y + head) * queries + query], mu = 0;
    for (int key = 0; key < keys; key++) {
        float other[COLUMNS], d_other[COLUMNS] = {}, value[COLUMNS], d_value[COLUMNS] = {};
        read(other, row_of(k, batch, head, key), lane);
        if (dk.data) {
            read(d_other, row_of(dk, batch, head, key), lane);
        }
        float score = 0, rate = 0;
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) {
            score += own[i] * other[i];
            rate += d_own[i] * other[i] + own[i] * d_other[i];
        }
        float weight = expf(warp_sum(score) * scale - lse);
        float weighted = weight * warp_sum(rate) * scale;
        mu += weighted;
        read(value, row_of(v, batch, head, key), lane);
        if (dv.data) {
            read(d_value, row_of(dv, batch, head, key), lane);
        }
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) {
            sum[i] += weighted * value[i] + weight * d_value[i];
        }
    }
    float out[COLUMNS];
    read(out, row_of(o, batch, head, query), lane);
    ELEMENT* result = row_of(target, batch, head, query);
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
        if (lane + 32 * i < HEAD) {
            store(result + lane + 32 * i, sum[i] - mu * out[i]);
        }
    }
}
