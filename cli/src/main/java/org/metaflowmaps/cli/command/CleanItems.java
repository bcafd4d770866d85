package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.Datasets;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.TrainingData;

/**
 * Clean items of a map's data, for noising.
 *
 * @param items (N, item shape)
 * @param labels (N) int64; null for a map without classes
 * @param names the name of each item
 * @param source a description of their source for the user
 */
record CleanItems(Tensor items, @Nullable Tensor labels, List<String> names, String source) {
    /** Refinement steps of a sample used instead of a data item. */
    private static final int STEPS = 4;

    private static final int USUAL = 4;

    /**
     * Returns items in the innermost open scope: of the configuration's data if known, else of Fashion-MNIST if the map
     * fits it, else samples of the map.
     *
     * @param known the configuration of the map's run; null if it is not known
     * @param folder the folder of the data's files; null for the configuration's
     * @param chosen indices of items; if empty, the last four, or the first four of an endless stream
     */
    static CleanItems of(
            MetaFlowMap map,
            ClassNames classes,
            @Nullable TrainConfig known,
            @Nullable Path folder,
            List<Integer> chosen,
            @Nullable Double scale,
            long seed,
            Device device)
            throws IOException {
        DataConfig.Kind kind = known != null
                ? known.data().kind()
                : EvaluateFashionMnistCommand.fits(map) ? DataConfig.Kind.FASHION_MNIST : null;
        if (kind == null) {
            if (folder != null) {
                throw new IOException("--data " + folder
                        + ": the kind of data is unknown, because there is no config.yaml beside the "
                        + "checkpoint: put it there, or give it as --data-config");
            }
            return own(map, classes, chosen, scale, seed, device);
        }
        if (kind == DataConfig.Kind.FASHION_MNIST) {
            return images(
                    map,
                    classes,
                    folder == null ? FashionMnist.test() : FashionMnist.train(folder),
                    folder == null ? "Fashion-MNIST's test images" : folder.toString(),
                    chosen,
                    device);
        }
        TrainConfig config = Objects.requireNonNull(known);
        if (kind == DataConfig.Kind.IDX) {
            return images(
                    map,
                    classes,
                    Datasets.images(config.data()),
                    String.valueOf(config.data().folder()),
                    chosen,
                    device);
        }
        try (TrainingData data = Datasets.open(config.data(), config.seed(), device)) {
            requireFit(map, data.itemShape(), data.classes());
            return stream(map, classes, data, chosen);
        }
    }

    private static CleanItems images(
            MetaFlowMap map,
            ClassNames classes,
            LabelledImages images,
            String source,
            List<Integer> chosen,
            Device device) {
        requireFit(
                map,
                Shape.of(images.channels(), images.height(), images.width()),
                images.classNames().size());
        int count = images.count();
        List<Integer> wanted = chosen.isEmpty() ? last(count) : chosen;
        requireRange(wanted, count);
        List<Tensor> items = new ArrayList<>();
        List<Tensor> labels = new ArrayList<>();
        for (int image : wanted) {
            items.add(ImageData.items(images, image, image + 1, device));
            labels.add(ImageData.labels(images, image, image + 1, device));
        }
        return joined(map, classes, items, labels, source);
    }

    private static CleanItems stream(MetaFlowMap map, ClassNames classes, TrainingData data, List<Integer> chosen) {
        int held = data.heldOut();
        List<Integer> wanted = !chosen.isEmpty() ? chosen : held > 0 ? last(held) : List.of(0, 1, 2, 3);
        requireRange(wanted, held > 0 ? held : Integer.MAX_VALUE);
        List<Tensor> items = new ArrayList<>();
        List<Tensor> labels = new ArrayList<>();
        for (int item : wanted) {
            TrainingData.Batch batch = held > 0 ? data.heldOut(item, 1) : data.batch(item, 1);
            items.add(batch.items());
            labels.add(batch.labels());
        }
        return joined(map, classes, items, labels, held > 0 ? "the data's held-out items" : "the training data");
    }

    private static CleanItems own(
            MetaFlowMap map,
            ClassNames classes,
            List<Integer> chosen,
            @Nullable Double scale,
            long seed,
            Device device) {
        if (!chosen.isEmpty()) {
            throw new IllegalArgumentException(
                    "--image " + chosen.getFirst() + ": the map's data is unknown, because there is no config.yaml"
                            + " beside the checkpoint: put it there, give it as --data-config, or"
                            + " leave the option out to noise the map's own samples");
        }
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed, device);
                Autograd.Mode off = Autograd.noGrad()) {
            long[] numbers = new long[USUAL];
            Arrays.setAll(numbers, i -> map.classes() == 0 ? 0 : i % map.classes());
            Tensor labels = Torch.of(numbers).to(device);
            Tensor given = map.classes() == 0 ? null : labels;
            Tensor samples = new RefinementSampler(map, STEPS)
                    .sample(Noise.of(random, map, USUAL), GuidanceOption.of(scale, map, given))
                    .samples();
            return new CleanItems(
                    scope.keep(samples),
                    given == null ? null : scope.keep(labels),
                    names(map, classes, numbers),
                    "samples of the map itself, because its data is unknown");
        }
    }

    private static CleanItems joined(
            MetaFlowMap map, ClassNames classes, List<Tensor> items, List<Tensor> labels, String source) {
        Tensor all = Torch.cat(0, labels.toArray(new Tensor[0]));
        return new CleanItems(
                Torch.cat(0, items.toArray(new Tensor[0])),
                map.classes() == 0 ? null : all,
                names(map, classes, all.to(DType.INT64).to(Device.CPU).toLongArray()),
                source);
    }

    private static List<String> names(MetaFlowMap map, ClassNames classes, long[] labels) {
        return Arrays.stream(labels)
                .mapToObj(label -> map.classes() == 0 ? "" : classes.of(label))
                .toList();
    }

    private static List<Integer> last(int count) {
        List<Integer> numbers = new ArrayList<>();
        for (int i = Math.max(0, count - USUAL); i < count; i++) {
            numbers.add(i);
        }
        return numbers;
    }

    private static void requireRange(List<Integer> wanted, int count) {
        for (int item : wanted) {
            if (item < 0 || item >= count) {
                throw new IllegalArgumentException(
                        "--image " + item + " is out of range: the set has images 0 to " + (count - 1));
            }
        }
    }

    private static void requireFit(MetaFlowMap map, Shape shape, int classes) {
        if (!map.itemShape().equals(shape) || (map.classes() != 0 && map.classes() != classes)) {
            throw new IllegalArgumentException("the data has items of shape " + shape + " with " + classes
                    + " classes, the map " + map.itemShape() + " with " + map.classes()
                    + ": give the run's own configuration with --data-config");
        }
    }
}
