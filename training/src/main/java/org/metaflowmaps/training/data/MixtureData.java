package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.List;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Draws from an equal mixture of Gaussians of one variance; an item's label is its component. */
public final class MixtureData implements TrainingData {
    private final long seed;
    private final double deviation;
    private final Shard shard;
    private final Tensor means;

    /**
     * A stream of draws.
     *
     * @param means the components' centres, at least one, all of one dimension
     * @param variance of each component in every direction, above 0
     * @param seed determines all draws
     * @param device where batches are made
     */
    public MixtureData(List<double[]> means, double variance, long seed, Device device) {
        this(means, variance, seed, Shard.WHOLE, device);
    }

    /**
     * One process's share of such a stream.
     *
     * @param shard which draws it sees of each batch of all processes
     */
    public MixtureData(List<double[]> means, double variance, long seed, Shard shard, Device device) {
        Preconditions.checkArgument(!means.isEmpty(), "a mixture needs at least one component");
        Preconditions.checkArgument(variance > 0, "mixture: variance is %s, expected more than 0", variance);
        int dimension = means.getFirst().length;
        float[] flat = new float[means.size() * dimension];
        for (int i = 0; i < means.size(); i++) {
            Preconditions.checkArgument(means.get(i).length == dimension, "mixture: mean %s has %s coordinates, the first has %s", i,
                    means.get(i).length, dimension);
            for (int j = 0; j < dimension; j++) {
                flat[i * dimension + j] = (float) means.get(i)[j];
            }
        }
        this.seed = seed;
        this.deviation = Math.sqrt(variance);
        this.shard = shard;
        try (TensorScope scope = TensorScope.open()) {
            this.means = Torch.of(flat, means.size(), dimension).to(device).retain();
        }
    }

    @Override
    public long[] itemShape() {
        return new long[] {means.size(1)};
    }

    @Override
    public int classes() {
        return (int) means.size(0);
    }

    @Override
    public Batch batch(long position, int count) {
        // All processes draw the whole batch, which costs next to nothing, and take their part.
        try (TensorScope scope = TensorScope.open();
                RandomSource random = Seeds.source(seed, position * shard.of(), means.device())) {
            long all = (long) count * shard.of();
            Tensor labels = random.integers(0, classes(), all);
            Tensor items = means.indexSelect(0, labels).add(random.normal(all, means.size(1)).mul(deviation));
            return new Batch(scope.keep(shard.own(items)), scope.keep(shard.own(labels)));
        }
    }

    @Override
    public void close() {
        means.close();
    }
}
