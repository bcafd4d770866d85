package org.metaflowmaps.steering.reward;

import com.google.common.base.Splitter;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * One kind of reward that has a text form.
 *
 * @param form such as {@code blur:DEVIATION,NOISE}
 * @param input what it needs besides its text
 * @param meaning in one line, for help
 * @param reader checks arguments
 */
record RewardKind(String form, RewardSpec.Input input, String meaning, Reader reader) {
    /** Checks arguments and returns a factory of the reward. */
    @FunctionalInterface
    interface Reader {
        Maker read(RewardArguments arguments);
    }

    /** Makes a reward, owned by the caller. */
    @FunctionalInterface
    interface Maker {
        Reward make(RewardContext context) throws IOException;
    }

    /** Makes a measurement of an image. */
    @FunctionalInterface
    private interface Seen {
        Measurement of(Tensor image);
    }

    /** All kinds, by the word before the colon. Add new rewards here. */
    static final Map<String, RewardKind> ALL = all(
            new RewardKind(
                    "class:CLASS",
                    RewardSpec.Input.CLASSIFIER,
                    "log-likelihood of a class, a number from 0, by the classifier",
                    arguments -> {
                        int label = arguments.count(1, 1).integer(0, "CLASS", 0);
                        return context -> new ClassLogLikelihood(context.requireClassifier(arguments.text()), label);
                    }),
            new RewardKind(
                    "mixture:W0,W1,...",
                    RewardSpec.Input.CLASSIFIER,
                    "log of the sum of w*p(class), one weight for each class",
                    arguments -> {
                        double[] weights = arguments.count(1, Integer.MAX_VALUE).numbers(0, "weight ");
                        if (Arrays.stream(weights).anyMatch(weight -> weight < 0)
                                || Arrays.stream(weights).sum() <= 0) {
                            throw arguments.refusal(
                                    "the weights are " + Arrays.toString(weights), "none below 0 and one above 0");
                        }
                        return context -> new ClassMixture(
                                context.requireClassifier(arguments.text()), weights, context.device());
                    }),
            new RewardKind("linear:A1,A2,...", RewardSpec.Input.NONE, "a*x of states", arguments -> {
                double[] direction = arguments.count(1, Integer.MAX_VALUE).numbers(0, "A");
                return context -> LinearReward.ofStates(direction, context.device());
            }),
            new RewardKind(
                    "linear-gaussian:Y,SIGMA,A1,A2,...",
                    RewardSpec.Input.NONE,
                    "log-likelihood of the observation Y = a*x + SIGMA*noise of states",
                    arguments -> {
                        double observation =
                                arguments.count(3, Integer.MAX_VALUE).number(0, "Y");
                        double deviation = arguments.positive(1, "SIGMA");
                        double[] direction = arguments.numbers(2, "A");
                        return context -> new LinearGaussianLikelihood(
                                new LinearGaussianReward(direction, observation, deviation));
                    }),
            new RewardKind("brightness", RewardSpec.Input.NONE, "mean of an image", arguments -> {
                arguments.count(0, 0);
                return context -> ImageStatistic.brightness();
            }),
            new RewardKind("contrast", RewardSpec.Input.NONE, "standard deviation of an image", arguments -> {
                arguments.count(0, 0);
                return context -> ImageStatistic.contrast();
            }),
            new RewardKind(
                    "channel:INDEX",
                    RewardSpec.Input.NONE,
                    "mean of a channel; of colours 0 is red, 1 green, 2 blue",
                    arguments -> {
                        int channel = arguments.count(1, 1).integer(0, "INDEX", 0);
                        return context -> ImageStatistic.ofChannel(channel);
                    }),
            new RewardKind(
                    "inpaint:TOP,LEFT,HEIGHT,WIDTH,SIGMA",
                    RewardSpec.Input.IMAGE,
                    "likelihood of an image with a hidden rectangle, observed with noise SIGMA",
                    arguments -> {
                        int top = arguments.count(5, 5).integer(0, "TOP", 0);
                        int left = arguments.integer(1, "LEFT", 0);
                        int height = arguments.integer(2, "HEIGHT", 1);
                        int width = arguments.integer(3, "WIDTH", 1);
                        double noise = arguments.positive(4, "SIGMA");
                        return context -> problem(
                                arguments, context, image -> hole(arguments, image, top, left, height, width), noise);
                    }),
            new RewardKind(
                    "downsample:FACTOR,SIGMA",
                    RewardSpec.Input.IMAGE,
                    "likelihood of an image observed as means of FACTOR x FACTOR pixels with noise SIGMA",
                    arguments -> {
                        int factor = arguments.count(2, 2).integer(0, "FACTOR", 1);
                        double noise = arguments.positive(1, "SIGMA");
                        return context -> problem(arguments, context, image -> Measurement.downsampling(factor), noise);
                    }),
            new RewardKind(
                    "blur:DEVIATION,SIGMA",
                    RewardSpec.Input.IMAGE,
                    "likelihood of an image observed through a Gaussian blur of DEVIATION pixels with noise SIGMA",
                    arguments -> {
                        double deviation = arguments.count(2, 2).positive(0, "DEVIATION");
                        double noise = arguments.positive(1, "SIGMA");
                        return context -> problem(
                                arguments,
                                context,
                                image -> Measurement.blur(
                                        deviation,
                                        Math.toIntExact(image.size(1)),
                                        Math.toIntExact(image.size(2)),
                                        context.device()),
                                noise);
                    }),
            new RewardKind(
                    "torchscript:FILE",
                    RewardSpec.Input.NONE,
                    "a TorchScript module that scores images: it runs the program in FILE",
                    arguments -> {
                        Path file = path(arguments);
                        return context -> TorchScriptReward.load(file, context.device());
                    }));

    private static Map<String, RewardKind> all(RewardKind... kinds) {
        Map<String, RewardKind> byWord = new LinkedHashMap<>();
        Stream.concat(Arrays.stream(kinds), NetworkKinds.all().stream())
                .forEach(kind ->
                        byWord.put(Splitter.on(':').splitToList(kind.form).getFirst(), kind));
        return byWord;
    }

    /** Returns the forms of all kinds. */
    static List<String> forms() {
        return ALL.values().stream().map(RewardKind::form).toList();
    }

    private static Path path(RewardArguments arguments) {
        try {
            return Path.of(arguments.whole());
        } catch (InvalidPathException e) {
            throw arguments.refusal("FILE is not a path (" + e.getReason() + ")", "the path of a file");
        }
    }

    private static Measurement hole(RewardArguments arguments, Tensor image, int top, int left, int height, int width) {
        if ((long) top + height > image.size(1)
                || (long) left + width > image.size(2)
                || (height == image.size(1) && width == image.size(2))) {
            throw arguments.refusal(
                    "the image to observe has height " + image.size(1) + " and width " + image.size(2),
                    "a rectangle inside it that leaves a pixel");
        }
        Tensor mask = Torch.full(1, DType.FLOAT32, image.device(), image.size(1), image.size(2));
        Tensor rectangle = mask.narrow(0, top, height).narrow(1, left, width);
        rectangle.zero_();
        return Measurement.inpainting(mask);
    }

    private static Reward problem(RewardArguments arguments, RewardContext context, Seen seen, double noise) {
        Tensor image = context.requireImage(arguments.text());
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(context.seed(), image.device())) {
            Measurement measurement = seen.of(image);
            try {
                return new InverseProblem(measurement, measurement.observe(image, noise, random), noise);
            } catch (RuntimeException e) {
                measurement.close();
                throw e;
            }
        }
    }
}
