package org.metaflowmaps.cli.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.PosteriorEvaluation;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

/** Posterior draws of held-out images, as numbers and as pictures. */
public final class PosteriorStudy {
    /** The context times in the picture. */
    private static final double[] TIMES = {0.1, 0.3, 0.5, 0.8};

    private final MetaFlowMap map;
    private final @Nullable Double guidance;
    private final LabelledImages images;
    private final int trained;
    private final Device device;
    private final long seed;

    /** Images from index {@code trained} on are held out; labels have the guidance scale, or none if it is null. */
    public PosteriorStudy(
            MetaFlowMap map, @Nullable Double guidance, LabelledImages images, int trained, Device device, long seed) {
        this.map = map;
        this.guidance = guidance;
        this.images = images;
        this.trained = trained;
        this.device = device;
        this.seed = seed;
    }

    /**
     * Returns a row per time: errors of the mean of {@code draws} draws of {@code steps} flow-map steps, over
     * {@code count} held-out images.
     */
    public List<PosteriorEvaluation> evaluate(int count, int draws, int steps) {
        List<PosteriorEvaluation> rows = new ArrayList<>();
        int to = Math.min(images.count(), trained + count);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed, device)) {
            Tensor items = ImageData.items(images, trained, to, device);
            Tensor labels = ImageData.labels(images, trained, to, device);
            Tensor means = classMeans().indexSelect(0, labels);
            for (double time : TIMES) {
                rows.add(PosteriorEvaluation.of(
                        new PosteriorSampler(map, steps),
                        items,
                        GuidanceOption.of(guidance, map, labels),
                        means,
                        time,
                        draws,
                        random));
            }
        }
        return rows;
    }

    /** Returns the mean training image of each class: (classes, C, H, W). */
    private Tensor classMeans() {
        int classes = images.classNames().size();
        float[] means = new float[classes * images.imageSize()];
        for (int label = 0; label < classes; label++) {
            System.arraycopy(
                    images.classMean(label, 0, trained), 0, means, label * images.imageSize(), images.imageSize());
        }
        return Torch.of(means, classes, images.channels(), images.height(), images.width())
                .to(device);
    }

    /** Draws a row for each image and time: clean image, noisy state, draws of {@code steps} flow-map steps. */
    public ImageGrid grid(List<Integer> chosen, double[] times, int draws, int steps) {
        List<String> columns = new ArrayList<>(List.of("clean", "x_t"));
        for (int i = 1; i <= draws; i++) {
            columns.add("draw " + i);
        }
        ImageGrid grid = new ImageGrid(images.channels(), images.height(), images.width(), columns);
        try (RandomSource random = RandomSource.seeded(seed, device)) {
            for (int image : chosen) {
                for (double time : times) {
                    String name = images.classNames().get(images.label(image));
                    grid.row(
                            String.format(Locale.ROOT, "%s, t = %s", name, time),
                            row(image, time, draws, steps, random));
                }
            }
        }
        return grid;
    }

    private float[] row(int image, double time, int draws, int steps, RandomSource random) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor clean = ImageData.items(images, image, image + 1, device);
            Tensor label = ImageData.labels(images, image, image + 1, device);
            Context context = PosteriorEvaluation.noised(clean, GuidanceOption.of(guidance, map, label), time, random);
            Tensor drawn = new PosteriorSampler(map, steps)
                    .sample(random, context, draws)
                    .samples()
                    .select(0, 0);
            return Torch.cat(0, clean, context.state(), drawn).toFloatArray();
        }
    }

    /** Returns the times in the picture and the table. */
    public static double[] times() {
        return TIMES.clone();
    }
}
