package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.LongStream;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.ImageClassifier;

/**
 * Compares methods of steering at equal network evaluations and at equal seconds, as the paper does on MNIST (method
 * §12E): the reward log Σ wᵢ·p(yᵢ|x) of a classifier, the same score by a judge that no method has seen, the distance
 * of the judge's class histogram from w, and diversity.
 *
 * <p>The exact tilted law at λ = 1 has the histogram w if the map's classes are equally frequent. A search or the best
 * of many has the largest reward instead, by one class.
 *
 * <p>Samples have no labels. Noise depends on the seed and the number of the item, so a result does not depend on which
 * others are computed, nor, except for rounding, on the batch. Results are stored in a {@link FrontierFile} when they
 * are finished; those in it are not computed again.
 *
 * <p>Best-of-N is estimated from one pool of samples without steering: means and histogram by each sample's probability
 * to be the best of N of the pool, diversity from the best of disjoint groups. It costs N·(K + 1) evaluations, and N
 * times a sample's time.
 */
public final class SteeringFrontier implements AutoCloseable {
    /** Samples of the pool that are stored together. */
    static final int PART = 256;

    private final FrontierSettings settings;
    private final FrontierFile file;
    private final MetaFlowMap map;
    private final SampleScorer scorer;
    private final FrontierSamplers samplers;

    /** Receives results in the order of the cells. */
    @FunctionalInterface
    public interface Listener {
        /** Called when a cell is finished or was found in the file. */
        void finished(FrontierResult result);

        /**
         * Called when another part of the pool is stored.
         *
         * @param done samples of the pool so far
         * @param all samples of the pool
         */
        default void pooled(int done, int all) {}
    }

    /**
     * Prepares a study.
     *
     * @param map of images (1, H, W) in [-1, 1] with contexts; not owned
     * @param classifier of the reward, with a gradient; not owned
     * @param judge another classifier of the same classes; not owned
     * @param file holds the settings and the finished results; not owned
     * @param device of the networks
     * @param rows states that are evaluated at once, at least 1: it changes only memory and rounding
     */
    public SteeringFrontier(
            MetaFlowMap map,
            ImageClassifier classifier,
            ImageClassifier judge,
            FrontierFile file,
            Device device,
            int rows) {
        Preconditions.checkArgument(
                map.isContextual() && map.itemShape().dim() == 3,
                "frontier: a map of items %s that %s posteriors, expected one of images (C, H, W) with posteriors: use"
                        + " one of layout meta-flow-map",
                map.itemShape(),
                map.isContextual() ? "has" : "has no");
        Preconditions.checkNotNull(judge, "frontier: the judge is null");
        Preconditions.checkNotNull(device, "frontier: the device is null");
        this.settings = file.settings();
        this.file = file;
        this.scorer = new SampleScorer(classifier, judge, settings, device);
        this.map = map.frozen();
        try {
            this.samplers = new FrontierSamplers(this.map, scorer.tilt(), settings, device, rows);
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /**
     * Measures cells, and stores each when it is finished.
     *
     * @param cells in the order of the results
     * @return the results, also those that the file had
     * @throws IOException if the file cannot be written
     * @throws IllegalArgumentException if a cell is best-of-N with an N above the pool
     */
    public List<FrontierResult> run(List<FrontierCell> cells, Listener listener) throws IOException {
        for (FrontierCell cell : cells) {
            Preconditions.checkArgument(
                    cell.method() != FrontierMethod.BEST_OF || cell.setting() <= settings.pool(),
                    "frontier: best of %s from a pool of %s samples: make the pool at least as large, better several"
                            + " times",
                    cell.setting(),
                    settings.pool());
        }
        List<FrontierResult> results = new ArrayList<>();
        for (FrontierCell cell : cells) {
            Optional<FrontierResult> stored = file.result(cell);
            FrontierResult result = stored.isPresent() ? stored.get() : measuredAndStored(cell, listener);
            results.add(result);
            listener.finished(result);
        }
        return results;
    }

    private FrontierResult measuredAndStored(FrontierCell cell, Listener listener) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            FrontierResult result = cell.method().isOfPool() ? ofPool(cell, listener) : measured(cell);
            file.add(result);
            return result;
        }
    }

    private FrontierResult measured(FrontierCell cell) {
        FrontierSamplers.Drawn drawn = samplers.draw(cell, items(0, settings.images()));
        SampleScores scores = scorer.of(drawn.samples());
        return result(
                cell,
                drawn.evaluations(),
                drawn.time().times(1.0 / settings.images()),
                SubsetStatistics.of(scores, 1, settings.target()),
                Diversity.of(drawn.samples()));
    }

    private FrontierResult ofPool(FrontierCell cell, Listener listener) throws IOException {
        FrontierFile.Pool pool = pool(listener);
        int size = cell.setting();
        long[] best = pool.scores().winners(size, settings.images());
        // Only scores are stored, so the best are drawn again.
        FrontierSamplers.Drawn drawn = samplers.draw(cell, best);
        boolean scored = cell.method() == FrontierMethod.BEST_OF;
        return result(
                cell,
                scored ? size * (drawn.evaluations() + 1) : drawn.evaluations(),
                pool.time().times((double) size / pool.scores().count()),
                SubsetStatistics.of(pool.scores(), size, settings.target()),
                Diversity.of(drawn.samples()));
    }

    /** Returns the whole pool, after drawing the parts that the file lacks. */
    private FrontierFile.Pool pool(Listener listener) throws IOException {
        for (int from = file.pooled(); from < settings.pool(); from = file.pooled()) {
            try (TensorScope scope = TensorScope.open()) {
                int to = Math.min(settings.pool(), from + PART);
                FrontierSamplers.Drawn drawn = samplers.draw(new FrontierCell(FrontierMethod.BASE, 1), items(from, to));
                file.add(new FrontierFile.PoolPart(from, drawn.time(), scorer.of(drawn.samples())));
            }
            listener.pooled(file.pooled(), settings.pool());
        }
        return file.pool();
    }

    private static long[] items(int from, int to) {
        return LongStream.range(from, to).toArray();
    }

    private static FrontierResult result(
            FrontierCell cell,
            long evaluations,
            FrontierResult.Time time,
            SubsetStatistics means,
            FrontierResult.Estimate diversity) {
        return new FrontierResult(
                cell,
                evaluations,
                time,
                means.reward(),
                means.judge(),
                means.agreement(),
                means.distance(),
                means.corrected(),
                diversity,
                means.histogram());
    }

    /** Frees the study's constants and its view of the map. */
    @Override
    public void close() {
        scorer.close();
        map.close();
    }
}
