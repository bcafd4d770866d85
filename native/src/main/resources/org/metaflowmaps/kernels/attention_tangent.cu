// The tangent of attention for bf16 on tensor cores; attention_tangent_plain.cu has the formulas. Five products per pair of a query and
// a key tile: Q K^T, dQ K^T, Q dK^T, then (P dS) V and P dV. Scores never leave registers.
//
// Rates are taken relative to a reference c_i, the weighted mean of dS over the first tile of keys: for any c_i
//
//     dO_i = sum_j P_ij ((dS_ij - c_i) V_j + dV_j) - (mu_i - c_i) O_i
//
// and with c_i near mu_i less is lost where P dS and O are rounded to bf16.
//
// Compile with HEAD, the width of a head (even, at most 128).
#include "common.cuh"

#define DEPTH ((HEAD + 15) / 16 * 16)  // HEAD padded with zeros to whole tensor core tiles
#define STEPS (DEPTH / 16)             // of a product over the head's columns
#define WARPS 4
#define QUERIES 16                     // of a warp
#define KEYS (HEAD > 96 ? 16 : 32)     // of a tile; wide heads leave fewer registers
#define PITCH (DEPTH + 8)              // of a tile's row: eight rows start in different banks

static_assert(HEAD % 8 == 0 && HEAD <= 128, "HEAD is a multiple of 8 up to 128");

/** A tensor (batch, heads, tokens, HEAD); strides in elements, multiples of 8, the last dimension without gaps. */
struct Heads {
    bf16* data;
    i64 batch, head, token;
};

INLINE bf16* head_of(const Heads& heads, int batch, int head) {
    return heads.data + batch * heads.batch + head * heads.head;
}

/** sum += a b for tiles of 16 x 16 and 16 x 8; each lane holds its part of each (PTX: mma.m16n8k16). */
INLINE void multiply(float sum[4], const u32 a[4], u32 b0, u32 b1) {
#ifdef __CUDACC__
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    host_multiply(sum, a, b0, b1);
#endif
}

/** Four 8 x 8 matrices of shared memory, whose rows start at the addresses of lanes 0 to 7, 8 to 15 and so on. */
INLINE void load_matrices(u32 target[4], const bf16* row) {
#ifdef __CUDACC__
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(target[0]), "=r"(target[1]), "=r"(target[2]), "=r"(target[3])
                 : "r"(address)
                 : "memory");
#else
    host_load_matrices(target, row, false);
#endif
}

/** The same, with each matrix transposed. */
INLINE void load_transposed(u32 target[4], const bf16* row) {
#ifdef __CUDACC__
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(target[0]), "=r"(target[1]), "=r"(target[2]), "=r"(target[3])
                 : "r"(address)
                 : "memory");
#else
    host_load_matrices(target, row, true);
#endif
}

/** Copies a tile of keys into shared memory; zeros outside the tensor. */
INLINE void copy_tile(bf16* tile, const bf16* head, i64 stride, int first, int keys) {
    for (int i = threadIdx.x; i < KEYS * (DEPTH / 8); i += 32 * WARPS) {
        int row = i / (DEPTH / 8), column = 8 * (i % (DEPTH / 8));
        uint4 eight = make_uint4(0, 0, 0, 0);
        if (head && first + row < keys && column < HEAD) {
            eight = *(const uint4*)(head + (first + row) * stride + column);
        }
        *(uint4*)(tile + row * PITCH + column) = eight;
    }
}

/** The left operands of a product over the head's columns, for the warp's queries: rows lane / 4 and lane / 4 + 8. */
INLINE void read_queries(u32 target[STEPS][4], const bf16* head, i64 stride, int first, int queries, int lane) {
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = first + lane / 4 + 8 * (i % 2), column = 16 * step + 2 * (lane % 4) + 8 * (i / 2);
            target[step][i] = head && row < queries && column < HEAD ? *(const u32*)(head + row * stride + column) : 0;
        }
    }
}

/** The sum over the four lanes that share a row. */
INLINE float row_sum(float value) {
    value += __shfl_xor_sync(FULL_WARP, value, 1);
    return value + __shfl_xor_sync(FULL_WARP, value, 2);
}

/**
 * Grid: queries / (QUERIES * WARPS), rounded up, heads, batch; block: 32 * WARPS.
 *
 * logsumexp: of the scores, natural logarithm, (batch, heads, queries). A null dq, dk or dv is zero.
 */
extern "C" __global__ void __launch_bounds__(32 * WARPS) attention_tangent(
        Heads q, Heads k, Heads v, Heads dq, Heads dk, Heads dv, Heads o, Heads target, const float* __restrict__ logsumexp,
        int queries, int keys, float scale) {
    __shared__ __align__(16) bf16 tiles[4][KEYS * PITCH];
    int head = blockIdx.y, batch = blockIdx.z, lane = threadIdx.x % 32;
    int first = (blockIdx.x * WARPS + threadIdx.x / 32) * QUERIES;

    u32 own[STEPS][4], d_own[STEPS][4];
    read_queries(own, head_of(q, batch, head), q.token, first, queries, lane);
    read_queries(d_own, dq.data ? head_of(dq, batch, head) : nullptr, dq.token, first, queries, lane);
    const bf16* sources[4] = {
            head_of(k, batch, head), dk.data ? head_of(dk, batch, head) : nullptr, head_of(v, batch, head),
            dv.data ? head_of(dv, batch, head) : nullptr};

    // Scores in powers of two, because exp2 is one instruction.
    float to_log2 = scale * 1.4426950408889634f;
    float lse[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = first + lane / 4 + 8 * i;
        lse[i] = row < queries ? logsumexp[((i64)batch * gridDim.y + head) * queries + row] * 1.4426950408889634f : 0.0f;
    }

    float sum[DEPTH / 8][4] = {};
    float mu[2] = {}, reference[2] = {};
    for (int start = 0; start < keys; start += KEYS) {
        __syncthreads();
        copy_tile(tiles[0], sources[0], k.token, start, keys);
        copy_tile(tiles[1], sources[1], dk.token, start, keys);
        copy_tile(tiles[2], sources[2], v.token, start, keys);
        copy_tile(tiles[3], sources[3], dv.token, start, keys);
        __syncthreads();

        // Right operands of two columns of tiles: keys lane % 8 + 8 (lane / 16), columns from 8 (lane / 8 % 2).
        int at = (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 8;
        float score[KEYS / 8][4] = {}, rate[KEYS / 8][4] = {};
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int pair = 0; pair < KEYS / 16; pair++) {
                u32 b[4], db[4];
                load_matrices(b, tiles[0] + at + 16 * pair * PITCH + 16 * step);
                load_matrices(db, tiles[1] + at + 16 * pair * PITCH + 16 * step);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    multiply(score[2 * pair + i], own[step], b[2 * i], b[2 * i + 1]);
                    multiply(rate[2 * pair + i], d_own[step], b[2 * i], b[2 * i + 1]);
                    multiply(rate[2 * pair + i], own[step], db[2 * i], db[2 * i + 1]);
                }
            }
        }

        // Elements 0 and 1 of a tile are of row lane / 4, elements 2 and 3 of row lane / 4 + 8; columns 2 (lane % 4) and the next.
#pragma unroll
        for (int tile = 0; tile < KEYS / 8; tile++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                bool inside = start + 8 * tile + 2 * (lane % 4) + i % 2 < keys;
                score[tile][i] = inside ? exp2f(score[tile][i] * to_log2 - lse[i / 2]) : 0.0f;
                rate[tile][i] *= scale;
            }
        }
        if (start == 0) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float weights = 0, products = 0;
#pragma unroll
                for (int tile = 0; tile < KEYS / 8; tile++) {
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        weights += score[tile][i];
                        products += score[tile][i] * rate[tile][i];
                    }
                }
                weights = row_sum(weights);
                products = row_sum(products);
                reference[half] = weights > 1e-20f ? products / weights : 0.0f;
            }
        }
        // Left operands: weights, and weights times rates.
        u32 weight[KEYS / 16][4], weighted[KEYS / 16][4];
#pragma unroll
        for (int tile = 0; tile < KEYS / 8; tile++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float p0 = score[tile][2 * half], p1 = score[tile][2 * half + 1];
                float w0 = p0 * (rate[tile][2 * half] - reference[half]);
                float w1 = p1 * (rate[tile][2 * half + 1] - reference[half]);
                mu[half] += w0 + w1;
                weight[tile / 2][tile % 2 * 2 + half] = pack(p0, p1);
                weighted[tile / 2][tile % 2 * 2 + half] = pack(w0, w1);
            }
        }
        // Right operands, transposed: keys lane % 8 + 8 (lane / 8 % 2), columns from 8 (lane / 16).
        int below = (lane % 8 + lane / 8 % 2 * 8) * PITCH + lane / 16 * 8;
#pragma unroll
        for (int pair = 0; pair < STEPS; pair++) {
#pragma unroll
            for (int step = 0; step < KEYS / 16; step++) {
                u32 b[4], db[4];
                load_transposed(b, tiles[2] + below + 16 * step * PITCH + 16 * pair);
                load_transposed(db, tiles[3] + below + 16 * step * PITCH + 16 * pair);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    multiply(sum[2 * pair + i], weighted[step], b[2 * i], b[2 * i + 1]);
                    multiply(sum[2 * pair + i], weight[step], db[2 * i], db[2 * i + 1]);
                }
            }
        }
    }

    const bf16* values = head_of(o, batch, head);
    bf16* results = head_of(target, batch, head);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float rest = row_sum(mu[half]);
        int row = first + lane / 4 + 8 * half;
        if (row < queries) {
#pragma unroll
            for (int tile = 0; tile < HEAD / 8; tile++) {
                int column = 8 * tile + 2 * (lane % 4);
                u32 value = *(const u32*)(values + row * o.token + column);
                *(u32*)(results + row * target.token + column) =
                        pack(sum[tile][2 * half] - rest * low_half(value), sum[tile][2 * half + 1] - rest * high_half(value));
            }
        }
    }
}
