package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.Png;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.steering.evaluation.SampleStatistics;
import org.metaflowmaps.steering.finetune.IndependentReward;
import org.metaflowmaps.steering.metric.ClassHistogram;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * Evaluates a fine-tuned student's samples beside those of its base from the same noise: both rewards, and for
 * Fashion-MNIST the Fréchet distance to the base's samples, the diversity, and the classes by the judge. Writes a
 * picture of samples.
 */
final class StudentEvaluation implements IndependentReward {
    /** The folder of the pictures in a run's folder. */
    static final String PICTURES = "samples";

    private static final String AVERAGE = "average/";
    private static final String BASE = "base/";
    private static final String ERROR = "_se";
    private static final String REWARD = "reward";
    private static final String INDEPENDENT = "independent_reward";
    private static final int SHOWN = 10;
    private static final List<Integer> FEW_STEPS = List.of(1, 4);

    private final Setup setup;
    private @Nullable Measured base;
    private @Nullable Measured best;

    /**
     * What is evaluated.
     *
     * @param base the map before fine-tuning, not owned
     * @param names of the samples' classes, in the order of the labels
     * @param samples to draw
     * @param steps Euler steps of each along the drift
     * @param reward is optimised; its strength is not used
     * @param independent is not; empty for none
     * @param fashion for Fashion-MNIST, not owned; null for other data
     * @param visible shows samples in pictures
     * @param folder of the run
     */
    record Setup(
            MetaFlowMap base,
            List<String> names,
            MapSamples samples,
            int steps,
            Tilt reward,
            Optional<Tilt> independent,
            @Nullable FashionReference fashion,
            VisibleItems visible,
            Path folder) {}

    /** The rewards of a map's samples, and their statistics. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Measured(
            double[] rewards, double[] scores, @Nullable SampleStatistics set) {}

    StudentEvaluation(Setup setup) {
        this.setup = setup;
    }

    @Override
    public double of(MetaFlowMap student, long step) throws IOException {
        return measure(student, step).score().orElse(Double.NaN);
    }

    @Override
    public Result measure(MetaFlowMap student, long step) throws IOException {
        if (base == null) {
            base = measured(setup.base);
        }
        Measured now = measured(student);
        Map<String, Double> metrics = new LinkedHashMap<>();
        metrics.put(AVERAGE + "samples", (double) setup.samples.count());
        Estimate reward = Estimate.mean(now.rewards);
        put(metrics, AVERAGE + REWARD, reward);
        put(metrics, BASE + REWARD, Estimate.mean(base.rewards));
        OptionalDouble score = OptionalDouble.empty();
        if (setup.independent.isPresent()) {
            Estimate mean = Estimate.mean(now.scores);
            score = OptionalDouble.of(mean.value());
            putError(metrics, AVERAGE + INDEPENDENT, mean);
            put(metrics, BASE + INDEPENDENT, Estimate.mean(base.scores));
            if (best == null || mean.value() > Estimate.mean(best.scores).value()) {
                best = now;
            }
            // From the same noise, so the difference is known better than both means.
            put(metrics, AVERAGE + INDEPENDENT + "_below_best", Estimate.mean(difference(best.scores, now.scores)));
        }
        if (now.set != null && base.set != null) {
            put(metrics, now.set, base.set);
        }
        if (setup.base.itemShape().dim() == 3) {
            picture(student, step);
        }
        return new Result(score, metrics);
    }

    private void put(Map<String, Double> metrics, SampleStatistics now, SampleStatistics before) {
        if (setup.samples.count() >= 2) {
            put(metrics, AVERAGE + "frechet_to_base", now.frechet(before.gaussian()));
            put(metrics, AVERAGE + "diversity", now.diversity().mean());
            put(metrics, BASE + "diversity", before.diversity().mean());
        }
        now.agreement().ifPresent(value -> put(metrics, AVERAGE + "agreement", value));
        before.agreement().ifPresent(value -> put(metrics, BASE + "agreement", value));
        ClassHistogram histogram = now.histogram().orElseThrow();
        for (int i = 0; i < histogram.counts().length; i++) {
            metrics.put(AVERAGE + "share/" + i, histogram.share(i).value());
        }
    }

    private static double[] difference(double[] left, double[] right) {
        double[] result = left.clone();
        Arrays.setAll(result, i -> left[i] - right[i]);
        return result;
    }

    private static void put(Map<String, Double> metrics, String name, Estimate estimate) {
        if (Double.isFinite(estimate.value())) {
            metrics.put(name, estimate.value());
            putError(metrics, name, estimate);
        }
    }

    private static void putError(Map<String, Double> metrics, String name, Estimate estimate) {
        if (Double.isFinite(estimate.standardError())) {
            metrics.put(name + ERROR, estimate.standardError());
        }
    }

    private Measured measured(MetaFlowMap map) {
        int count = setup.samples.count();
        double[] rewards = new double[count];
        double[] scores = new double[setup.independent.isPresent() ? count : 0];
        SampleStatistics set = setup.fashion == null ? null : setup.fashion.empty();
        boolean labelled = setup.samples.areLabelled(map);
        int[] at = {0};
        setup.samples.draw(map, MapSamples.ode(map, setup.steps), (drawn, condition, labels) -> {
            double[] some = setup.reward.score(drawn, condition).toDoubleArray();
            System.arraycopy(some, 0, rewards, at[0], some.length);
            if (setup.independent.isPresent()) {
                double[] others =
                        setup.independent.get().score(drawn, condition).toDoubleArray();
                System.arraycopy(others, 0, scores, at[0], others.length);
            }
            if (set != null) {
                FashionReference.add(set, drawn, labelled ? labels : null);
            }
            at[0] += some.length;
        });
        return new Measured(rewards, scores, set);
    }

    /** Writes samples of one noise: of the base, and of the student by one, four and all steps. */
    private void picture(MetaFlowMap student, long step) throws IOException {
        MapSamples given = setup.samples;
        int count = Math.min(SHOWN, given.count());
        MapSamples shown = new MapSamples(count, given.labels(), given.scale(), given.seed(), given.device());
        List<String> columns = IntStream.range(0, count)
                .mapToObj(i -> setup.names.get(i % setup.names.size()))
                .toList();
        ImageGrid grid = setup.visible.grid(columns);
        row(grid, "base, " + setup.steps + " steps", setup.base, shown, setup.steps);
        for (int few : FEW_STEPS) {
            row(grid, few == 1 ? "1 step" : few + " steps", student, shown, few);
        }
        row(grid, setup.steps + " steps", student, shown, setup.steps);
        Png.write(
                grid.draw(setup.visible.enlargement()),
                setup.folder.resolve(PICTURES).resolve(String.format(Locale.ROOT, "step-%09d.png", step)));
    }

    private void row(ImageGrid grid, String label, MetaFlowMap map, MapSamples shown, int steps) {
        List<float[]> parts = new ArrayList<>();
        shown.draw(
                map, MapSamples.ode(map, steps), (drawn, condition, labels) -> parts.add(setup.visible.pixels(drawn)));
        float[] all = new float[parts.stream().mapToInt(part -> part.length).sum()];
        int at = 0;
        for (float[] part : parts) {
            System.arraycopy(part, 0, all, at, part.length);
            at += part.length;
        }
        grid.row(label, all);
    }
}
