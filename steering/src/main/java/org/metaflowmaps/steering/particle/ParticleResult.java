package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.time.Duration;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * What a particle filter leaves, and what it cost. Its tensors are in the scope that was innermost when it ran; none has a gradient graph.
 * With a budget, its steps are those that were taken.
 *
 * @param samples one particle of each item, drawn by the weights: (items, item shape). With many particles their law is the tilted one
 * @param particles all particles at time 1: (items · M, item shape), those of an item as neighbours
 * @param logWeights logarithms of the particles' weights, which sum to 1 in each item: (items, M), float64. Equal for an item whose
 *     particles all have a score of negative infinity
 * @param scores λ·r of the particles: (items, M), float64
 * @param effectiveSize (Σw)²/Σw² of the accumulated weights at each time of the grid, before any resampling there: (steps + 1, items),
 *     float64; 0 for an item whose weights all are
 * @param ancestors for each step, which particle of its item each particle continues: (steps, items, M), int64
 * @param survivors how many particles of time 0 have descendants at the end: (items), int64
 * @param logNormaliser log Ẑ, the estimate of log E[e^{λ·r(I_1)}]: (items), float64. Ẑ is unbiased, its logarithm is not. Negative
 *     infinity for an item whose weights all are 0
 * @param factors of λ at each time of the grid: (steps + 1, items), float64; 1 without tempering
 * @param evaluations for each item, all its particles together, by the paper's counting (method §8.4)
 * @param time from the call to its return; a GPU may still be computing then
 */
public record ParticleResult(
        Tensor samples,
        Tensor particles,
        Tensor logWeights,
        Tensor scores,
        Tensor effectiveSize,
        Tensor ancestors,
        Tensor survivors,
        Tensor logNormaliser,
        Tensor factors,
        long evaluations,
        Duration time) {

    /**
     * Returns the particle with the highest score of each item, which is no sample of the tilted law: (items, item shape), in the
     * innermost open scope.
     */
    public Tensor best() {
        Preconditions.checkArgument(
                particles.size(0) == scores.numel(),
                "particle result: %s particles and scores of shape %s, expected one score for each: use the result as"
                        + " the filter returned it",
                particles.size(0),
                scores.shape());
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(picked(particles, scores.argmax(1).unsqueeze(1)));
        }
    }

    ParticleResult keptFrom(TensorScope scope) {
        return new ParticleResult(
                scope.keep(samples),
                scope.keep(particles),
                scope.keep(logWeights),
                scope.keep(scores),
                scope.keep(effectiveSize),
                scope.keep(ancestors),
                scope.keep(survivors),
                scope.keep(logNormaliser),
                scope.keep(factors),
                evaluations,
                time);
    }

    /** Returns rows of each item by their number in it: (items, n) to (items · n, item shape). */
    static Tensor picked(Tensor rows, Tensor numbers) {
        return rows.indexSelect(0, flat(numbers, rows.size(0) / numbers.size(0)));
    }

    /** Returns numbers of rows from those of particles in their items. */
    static Tensor flat(Tensor numbers, long particles) {
        long items = numbers.size(0);
        Tensor rows = Torch.arange(items * particles, numbers.device());
        return numbers.add(rows.reshape(items, particles).narrow(1, 0, 1)).reshape(-1);
    }
}
