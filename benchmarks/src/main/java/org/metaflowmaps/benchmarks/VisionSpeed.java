package org.metaflowmaps.benchmarks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.models.vision.AutoencoderKL;
import org.metaflowmaps.models.vision.Clip;
import org.metaflowmaps.models.vision.ClipSettings;
import org.metaflowmaps.models.vision.FidInception;
import org.metaflowmaps.models.vision.ImageReward;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.training.metrics.ProcessMemory;

/**
 * Times, memory and results of full-size networks on images on the CPU, beside those of PyTorch's public libraries
 * ({@code benchmarks/python/vision.py}, which writes the files and runs both in turn).
 *
 * <p>Prints one line: the work; the median seconds and the peak MiB of a forward pass, then of a gradient with respect to
 * the input; the number of parameters; the seconds and the peak MiB of loading; and the largest difference of the output
 * and of the gradient from PyTorch's, relative to the largest value. Numbers are 0 where the input has no gradient.
 */
public final class VisionSpeed {
    private static final double LIMIT = 1e-3;
    private static final double MIB = 1 << 20;

    private final Network network;
    private final UnaryOperator<Tensor> pass;

    private VisionSpeed(Network network, UnaryOperator<Tensor> pass) {
        this.network = network;
        this.pass = pass;
    }

    private record Measured(double seconds, double peak, double difference) {}

    /**
     * Measures.
     *
     * @param arguments vae-encode, vae-decode, clip-image, clip-text, imagereward or inception; the folder that
     *     {@code vision.py write} made; repetitions after one to warm up
     * @throws IOException if a file cannot be read or does not hold the network
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 3) {
            throw new IllegalArgumentException("expected: WORK FOLDER REPETITIONS, see benchmarks/python/vision.py");
        }
        String work = arguments[0];
        Path folder = Path.of(arguments[1]);
        int repetitions = Integer.parseInt(arguments[2]);
        try (TensorScope scope = TensorScope.open();
                TensorFile file = TensorFile.open(folder.resolve(work + ".safetensors"))) {
            resetPeak();
            long before = System.nanoTime();
            VisionSpeed speed = of(work, folder, file);
            double seconds = (System.nanoTime() - before) * 1e-9;
            double peak = peak();
            try (Network network = speed.network) {
                Measured forward = measured(repetitions, file.view("output"), () -> speed.forward(file.view("input")));
                Measured gradient = file.entries().containsKey("cotangent")
                        ? measured(
                                repetitions,
                                file.view("gradient"),
                                () -> speed.gradient(file.view("input"), file.view("cotangent")))
                        : new Measured(0, 0, 0);
                System.out.printf(
                        Locale.ROOT,
                        "%s %.4f %.1f %.4f %.1f %d %.4f %.1f %.1e %.1e%n",
                        work,
                        forward.seconds,
                        forward.peak,
                        gradient.seconds,
                        gradient.peak,
                        network.parameters().count(),
                        seconds,
                        peak,
                        forward.difference,
                        gradient.difference);
                if (!(forward.difference <= LIMIT && gradient.difference <= LIMIT)) {
                    throw new IllegalStateException(work + " differs from PyTorch by more than " + LIMIT);
                }
            }
        }
    }

    private static VisionSpeed of(String work, Path folder, TensorFile file) throws IOException {
        return switch (work) {
            case "vae-encode", "vae-decode" -> {
                AutoencoderKL vae = AutoencoderKL.load(
                        folder.resolve("vae").resolve("diffusion_pytorch_model.safetensors"), Device.CPU);
                yield new VisionSpeed(vae, work.equals("vae-encode") ? vae::moments : vae::decode);
            }
            case "clip-image", "clip-text" -> {
                Clip clip = Clip.load(
                        folder.resolve("clip").resolve("open_clip_pytorch_model.bin"),
                        ClipSettings.VIT_H_14,
                        DType.FLOAT32,
                        Device.CPU);
                yield new VisionSpeed(clip, work.equals("clip-image") ? clip::imageFeatures : clip::textFeatures);
            }
            case "imagereward" -> {
                ImageReward reward = ImageReward.load(
                        folder.resolve("imagereward").resolve("ImageReward.pt"), DType.FLOAT32, Device.CPU);
                yield new VisionSpeed(reward, pixels -> reward.score(pixels, file.view("ids"), file.view("mask")));
            }
            case "inception" -> {
                FidInception inception = FidInception.load(
                        folder.resolve("inception").resolve("pt_inception-2015-12-05.pth"), DType.FLOAT32, Device.CPU);
                yield new VisionSpeed(
                        inception,
                        images ->
                                Objects.requireNonNull(inception.stages(images).get("pool3")));
            }
            default ->
                throw new IllegalArgumentException("work " + work
                        + ", expected vae-encode, vae-decode, clip-image, clip-text, imagereward or inception");
        };
    }

    private Tensor forward(Tensor input) {
        try (Autograd.Mode off = Autograd.inference()) {
            return pass.apply(input);
        }
    }

    private Tensor gradient(Tensor input, Tensor cotangent) {
        Tensor leaf = input.detach().requiresGrad_(true);
        return Autograd.gradients(pass.apply(leaf), List.of(leaf), cotangent).getFirst();
    }

    private static Measured measured(int repetitions, Tensor expected, Supplier<Tensor> work) throws IOException {
        resetPeak();
        double[] seconds = new double[repetitions + 1];
        double difference = 0;
        for (int i = 0; i <= repetitions; i++) {
            try (TensorScope scope = TensorScope.open()) {
                long before = System.nanoTime();
                Tensor result = work.get();
                seconds[i] = (System.nanoTime() - before) * 1e-9;
                difference = Math.max(difference, difference(result, expected));
            }
        }
        double[] timed = Arrays.copyOfRange(seconds, 1, seconds.length);
        Arrays.sort(timed);
        double median = (timed[(timed.length - 1) / 2] + timed[timed.length / 2]) / 2;
        return new Measured(median, peak(), difference);
    }

    private static double difference(Tensor result, Tensor expected) {
        if (!result.shape().equals(expected.shape())) {
            throw new IllegalStateException("the result is " + result + ", PyTorch's is " + expected);
        }
        return result.sub(expected).abs().max().item() / expected.abs().max().item();
    }

    /** Starts a new measurement of the process's peak memory; does nothing on systems other than Linux. */
    private static void resetPeak() throws IOException {
        Path file = Path.of("/proc/self/clear_refs");
        if (Files.isWritable(file)) {
            Files.writeString(file, "5");
        }
    }

    private static double peak() {
        return ProcessMemory.peak().orElse(0) / MIB;
    }
}
