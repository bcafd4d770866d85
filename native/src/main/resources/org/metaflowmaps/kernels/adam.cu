// A step of AdamW or RAdam with clipping, the moving average and a bf16 copy of the values, in one pass over memory. Learning rate,
// number of updates, skip flag, gradient norm and the average's weight are read from device memory, so that a captured graph of the
// step can be launched again.
#include "common.cuh"

/** What adam_update needs of the settings and the step. */
struct Scalars {
    float skip;    // 1: change nothing
    float clip;    // factor of the gradients
    float decay;   // factor of the values: decoupled weight decay
    float rate;    // values -= rate * mean / (root * slope + offset)
    float slope;
    float offset;
};

/**
 * Computes the scalars of a step, in float64. Grid and block: 1.
 *
 * rate: the learning rate; count: the number of updates with this one; skip: 1 to skip; norm: of all gradients together.
 * largest_norm: to clip to; infinity for no clipping. rectified: 1 for RAdam (arXiv 1908.03265), 0 for AdamW (arXiv 1711.05101).
 */
extern "C" __global__ void adam_scalars(
        const double* __restrict__ rate, const double* __restrict__ count, const float* __restrict__ skip,
        const float* __restrict__ norm, double beta1, double beta2, double eps, double weight_decay, double largest_norm,
        int rectified, Scalars* __restrict__ scalars) {
    double n = *count, correction1 = 1 - pow(beta1, n), left2 = pow(beta2, n), correction2 = 1 - left2;
    double factor = largest_norm / ((double)*norm + 1e-6);
    double step = *rate / correction1, slope = 1 / sqrt(correction2), offset = eps;
    if (rectified) {
        double limit = 2 / (1 - beta2) - 1, length = limit - 2 * n * left2 / correction2;
        if (length > 5) {
            step *= sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)) * sqrt(correction2);
            slope = 1;
        } else {
            // The second moment is not reliable yet: plain momentum.
            slope = 0;
            offset = 1;
        }
    }
    // The comparison keeps a norm that is not a number; such a step is skipped.
    *scalars = Scalars{*skip, (float)(factor > 1 ? 1 : factor), (float)(1 - *rate * weight_decay), (float)step, (float)slope,
                       (float)offset};
}

struct Item {
    float value, mean, square, average;
};

/** The decays of the moments and what is left of them; in float, 1 - beta2 would lose digits. */
struct Decays {
    float beta1, left1, beta2, left2;
};

INLINE void update(Item& item, float gradient, const Scalars& s, const Decays& d, float weight) {
    float g = gradient * s.clip;
    item.mean = d.beta1 * item.mean + d.left1 * g;
    item.square = d.beta2 * item.square + d.left2 * g * g;
    item.value = item.value * s.decay - s.rate * item.mean / (sqrtf(item.square) * s.slope + s.offset);
    // At weight 1 exactly the value.
    float gap = item.value - item.average;
    item.average = weight < 0.5f ? item.average + weight * gap : item.value - (1.0f - weight) * gap;
}

/**
 * Updates values, moments, average and shadow. Grid: any; block: 256. Pointers are multiples of 16 bytes.
 *
 * average, shadow: null for none. average_weight: of the new values, in device memory; 1 copies them.
 */
extern "C" __global__ void __launch_bounds__(256) adam_update(
        float* __restrict__ values, const float* __restrict__ gradients, float* __restrict__ mean, float* __restrict__ square,
        float* __restrict__ average, bf16* __restrict__ shadow, const Scalars* __restrict__ scalars,
        const float* __restrict__ average_weight, Decays decays, i64 count) {
    Scalars s = *scalars;
    if (s.skip != 0) {
        return;
    }
    float weight = average ? *average_weight : 1.0f;
    i64 stride = 4 * (i64)gridDim.x * blockDim.x;
    for (i64 at = 4 * ((i64)blockIdx.x * blockDim.x + threadIdx.x); at < count; at += stride) {
        if (at + 4 <= count) {
            Four v = load4(values + at), g = load4(gradients + at), m = load4(mean + at), q = load4(square + at), a = v;
            if (average) {
                a = load4(average + at);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                Item item = {v.at[j], m.at[j], q.at[j], a.at[j]};
                update(item, g.at[j], s, decays, weight);
                v.at[j] = item.value;
                m.at[j] = item.mean;
                q.at[j] = item.square;
                a.at[j] = item.average;
            }
            store4(values + at, v);
            store4(mean + at, m);
            store4(square + at, q);
            if (average) {
                store4(average + at, a);
            }
            if (shadow) {
                store4(shadow + at, v);
            }
        } else {
            for (i64 i = at; i < count; i++) {
                Item item = {values[i], mean[i], square[i], average ? average[i] : 0.0f};
                update(item, gradients[i], s, decays, weight);
                values[i] = item.value;
                mean[i] = item.mean;
                square[i] = item.square;
                if (average) {
                    average[i] = item.average;
                }
                if (shadow) {
                    store(shadow + i, item.value);
                }
            }
        }
    }
}
