package org.metaflowmaps.training;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.Seeds;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.metrics.TensorBoardWriter;

/**
 * Evaluates a map during its training. Each evaluation has a new random source with the same seed, so it does not
 * change training's numbers and two evaluations differ only by the weights.
 */
final class HeldOut {
    /** The held-out error's name among the metrics. */
    static final String ERROR = "held_out/diagonal";

    /** The picture's name in TensorBoard. */
    static final String PICTURE = "posterior";

    /** A separate stream of seeds. */
    private static final long STREAM = -0x68656c646f7574L;

    private static final int MOST_ITEMS = 256;
    private static final int CHUNK = 32;
    private static final int ROWS = 4;
    private static final int DRAWS = 4;
    private static final double[] TIMES = {0.2, 0.5, 0.8};

    private final TrainConfig config;
    private final TrainingData data;
    private final Device device;

    HeldOut(TrainConfig config, TrainingData data, Device device) {
        this.config = config;
        this.data = data;
        this.device = device;
    }

    /**
     * Returns the squared error of the velocity on the diagonal, summed over an item and averaged over the first
     * held-out items, with training's law of times and labels. It corresponds to {@code loss/diagonal} of training
     * items under the l2 weighting.
     *
     * @return NaN if the data has no held-out items
     */
    double error(MetaFlowMap map) {
        int count = Math.min(MOST_ITEMS, data.heldOut());
        double sum = 0;
        try (RandomSource random = random()) {
            PairSampler sampler = new PairSampler(config.times(), config.labelDrop(), config.guidance(), random);
            for (int from = 0; from < count; from += CHUNK) {
                try (TensorScope scope = TensorScope.open();
                        Autograd.Mode off = Autograd.noGrad()) {
                    TrainingData.Batch batch = data.heldOut(from, Math.min(CHUNK, count - from));
                    Pair point = sampler.diagonal(batch, sampler.context(batch, map, Long.MAX_VALUE));
                    Regression regression = Diagonal.of(map, point, new Velocity.Data());
                    sum += regression
                            .prediction()
                            .sub(regression.target())
                            .square()
                            .sum()
                            .item();
                }
            }
        }
        return count == 0 ? Double.NaN : sum / count;
    }

    /**
     * Writes a picture of one-step posterior draws of a few items: held-out items, else the first training items.
     * Writes nothing if items are not images, the map has no contexts, or the data provides neither.
     */
    void picture(MetaFlowMap map, @Nullable PictureGrid grid, TensorBoardWriter board, long step) throws IOException {
        Shape item = map.itemShape();
        if (grid == null || item.dim() != 3 || (item.size(0) != 1 && item.size(0) != 3) || !map.isContextual()) {
            return;
        }
        List<String> columns = new ArrayList<>(List.of("clean", "x_t"));
        IntStream.rangeClosed(1, DRAWS).forEach(draw -> columns.add("draw " + draw));
        List<String> labels = new ArrayList<>();
        List<float[]> rows = new ArrayList<>();
        try (RandomSource random = random();
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            // Do not call data.batch(0, ROWS): the stream would drop items read ahead, and count damaged items twice.
            TrainingData.Batch batch =
                    data.heldOut() > 0 ? data.heldOut(0, Math.min(ROWS, data.heldOut())) : data.examples(ROWS);
            if (batch == null) {
                return;
            }
            for (int i = 0; i < batch.items().size(0); i++) {
                for (double time : TIMES) {
                    labels.add(String.format(Locale.ROOT, "t = %s", time));
                    rows.add(row(map, batch, i, time, random));
                }
            }
        }
        board.image(PICTURE, step, grid.png(item, columns, labels, rows));
    }

    private float[] row(MetaFlowMap map, TrainingData.Batch batch, long i, double time, RandomSource random) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor clean = batch.items().narrow(0, i, 1);
            Tensor at = Torch.full(time, DType.FLOAT32, device, 1);
            Tensor noisy = LinearInterpolant.state(random.normal(clean.shape()), clean, at);
            Condition condition = Condition.none();
            if (map.classes() > 0 && config.labelDrop() < 1) {
                condition = Condition.labelled(batch.labels().narrow(0, i, 1));
                if (config.guidance() != 1) {
                    condition = condition.guided(config.guidance(), map.classes());
                }
            }
            Context context = new Context(at, noisy, condition).repeatInterleave(DRAWS);
            Tensor draws = map.flowMap(
                    Torch.full(0, DType.FLOAT32, device, DRAWS),
                    Torch.full(1, DType.FLOAT32, device, DRAWS),
                    random.normal(clean.shape().from(1).prepend(DRAWS)),
                    context);
            return Torch.cat(0, clean, noisy, draws).toFloatArray();
        }
    }

    private RandomSource random() {
        return RandomSource.seeded(Seeds.of(config.seed(), STREAM), device);
    }
}
