package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.List;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Draws from a mixture of Gaussians with equal weights and variance; an item's label is its component. */
public final class MixtureData implements TrainingData {
    private final long seed;
    private final double deviation;
    private final Tensor means;

    /**
     * Makes a stream of draws.
     *
     * @param means the components' centres, at least one, all of one dimension
     * @param variance of each component in every direction, above 0
     * @param seed determines all draws
     * @param device the device of batches
     */
    public MixtureData(List<double[]> means, double variance, long seed, Device device) {
        Preconditions.checkArgument(!means.isEmpty(), "a mixture needs at least one component");
        Preconditions.checkArgument(
                variance > 0 && variance < Double.POSITIVE_INFINITY,
                "mixture: variance is %s, expected a number above 0",
                variance);
        int dimension = means.getFirst().length;
        float[] flat = new float[means.size() * dimension];
        for (int i = 0; i < means.size(); i++) {
            Preconditions.checkArgument(
                    means.get(i).length == dimension,
                    "mixture: mean %s has %s coordinates, the first has %s",
                    i,
                    means.get(i).length,
                    dimension);
            for (int j = 0; j < dimension; j++) {
                Preconditions.checkArgument(
                        Double.isFinite(means.get(i)[j]),
                        "mixture: mean %s has the coordinate %s, expected a finite number",
                        (Integer) i,
                        (Double) means.get(i)[j]);
                flat[i * dimension + j] = (float) means.get(i)[j];
            }
        }
        this.seed = seed;
        this.deviation = Math.sqrt(variance);
        try (TensorScope scope = TensorScope.open()) {
            this.means = Torch.of(flat, means.size(), dimension).to(device).retain();
        }
    }

    /** Opens the mixture of a configuration. */
    static MixtureData open(DataConfig config, long seed, Device device) {
        return new MixtureData(config.means(), config.variance(), seed, device);
    }

    @Override
    public Shape itemShape() {
        return Shape.of(means.size(1));
    }

    @Override
    public int classes() {
        return (int) means.size(0);
    }

    @Override
    public Batch batch(long position, int count) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = Seeds.source(seed, position, means.device())) {
            Tensor labels = random.integers(0, classes(), count);
            Tensor items = means.indexSelect(0, labels)
                    .add(random.normal(count, means.size(1)).mul(deviation));
            return new Batch(scope.keep(items), scope.keep(labels));
        }
    }

    @Override
    public Batch examples(int wanted) {
        return batch(0, wanted);
    }

    @Override
    public void close() {
        means.close();
    }
}
