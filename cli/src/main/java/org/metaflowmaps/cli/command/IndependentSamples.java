package org.metaflowmaps.cli.command;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.SamplingMemory;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.finetune.IndependentReward;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * The mean of another reward over a student's samples, of all classes in turn, from the same noise each time.
 *
 * @param tilt has the reward; its strength is not used
 * @param samples how many
 * @param steps Euler steps of each along the drift
 * @param scale guidance scale of labelled items; null for 1
 * @param seed of the noise
 * @param device of the student
 */
record IndependentSamples(
        Tilt tilt, int samples, int steps, @Nullable Double scale, long seed, Device device)
        implements IndependentReward {
    /** Checks the counts. */
    IndependentSamples {
        if (samples < 1 || samples > 100_000) {
            throw new IllegalArgumentException(
                    "--independent-samples " + samples + " is out of range: give 1 to 100000");
        }
        TimeGrid.uniform(steps);
    }

    @Override
    public double of(MetaFlowMap student, long step) {
        OdeSampler sampler = new OdeSampler(new NetworkDrift(student), TimeGrid.uniform(steps), Solver.EULER);
        int batch = Math.min(samples, SamplingMemory.itemsAtOnce(student));
        double sum = 0;
        try (RandomSource random = RandomSource.seeded(seed, device);
                Autograd.Mode off = Autograd.noGrad()) {
            for (int from = 0; from < samples; from += batch) {
                try (TensorScope scope = TensorScope.open()) {
                    int size = Math.min(batch, samples - from);
                    long[] labels = new long[size];
                    int first = from;
                    Arrays.setAll(labels, i -> student.classes() == 0 ? 0 : (first + i) % student.classes());
                    Tensor given =
                            student.classes() == 0 ? null : Torch.of(labels).to(device);
                    Condition condition = GuidanceOption.of(scale, student, given);
                    Tensor drawn = sampler.sample(Noise.of(random, student, size), condition)
                            .samples();
                    sum += Arrays.stream(tilt.score(drawn, condition).toDoubleArray())
                            .sum();
                }
            }
        }
        return sum / samples;
    }
}
