package org.metaflowmaps.benchmarks;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;

/**
 * The time of the matrix products of a network's blocks alone, in milliseconds: no program of libtorch's operators can
 * compute the network in less, so the quotient with another program's time bounds what can be gained over it.
 *
 * <p>Each thread multiplies its part of the batch, as in a training step. Only the four linear layers of each block are
 * counted, not attention, embeddings and head.
 */
public final class ProductTime {
    private ProductTime() {}

    /** One linear layer with all its operands, for one thread's part of the batch. */
    private record Layer(Tensor input, Tensor weight, Tensor gradient, Tensor sum) {
        static Layer of(RandomSource random, long rows, long in, long out) {
            return new Layer(
                    random.normal(rows, in), random.normal(out, in), random.normal(rows, out), random.normal(out, in));
        }

        void forward() {
            Torch.linear(input, weight).close();
        }

        void backward() {
            gradient.matmul(weight).close();
            sum.addmm_(gradient.transpose(0, 1), input);
        }

        double operations() {
            return 2.0 * input.size(0) * input.size(1) * weight.size(0);
        }
    }

    /**
     * Measures.
     *
     * @param arguments size (tiny, s2, b2) and repetitions
     */
    public static void main(String[] arguments) {
        if (arguments.length != 2) {
            throw new IllegalArgumentException("expected: tiny|s2|b2 REPETITIONS");
        }
        CpuSpeed.Size size = CpuSpeed.Size.named(arguments[0]);
        int repetitions = Integer.parseInt(arguments[1]);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                RandomSource random = RandomSource.seeded(1)) {
            List<List<Layer>> parts = new ArrayList<>();
            double operations = 0;
            for (int i = 0; i < Workers.count(); i++) {
                List<Layer> part = layers(size, random);
                operations += part.stream().mapToDouble(Layer::operations).sum();
                parts.add(part);
            }
            int depth = size.network().depth();
            double forward = median(parts, depth, repetitions, false);
            double step = median(parts, depth, repetitions, true);
            print(size, "forward", forward, depth * operations);
            print(size, "forward and backward", step, 3 * depth * operations);
        }
    }

    private static List<Layer> layers(CpuSpeed.Size size, RandomSource random) {
        TransformerConfig network = size.network();
        long edge = network.inputSize() / network.patchSize();
        long rows = size.items().size(0) * edge * edge / Workers.count();
        long width = network.hiddenSize();
        return List.of(
                Layer.of(random, rows, width, 3 * width),
                Layer.of(random, rows, width, width),
                Layer.of(random, rows, width, 4 * width),
                Layer.of(random, rows, 4 * width, width));
    }

    private static double median(List<List<Layer>> parts, int depth, int repetitions, boolean backward) {
        double[] times = new double[repetitions];
        for (int i = -2; i < repetitions; i++) {
            long start = System.nanoTime();
            Workers.run(parts.stream()
                    .<Runnable>map(part -> () -> multiply(part, depth, backward))
                    .toList());
            if (i >= 0) {
                times[i] = (System.nanoTime() - start) / 1e6;
            }
        }
        Arrays.sort(times);
        return times[repetitions / 2];
    }

    private static void multiply(List<Layer> part, int depth, boolean backward) {
        try (TensorScope scope = TensorScope.open()) {
            for (int block = 0; block < depth; block++) {
                part.forEach(Layer::forward);
                if (backward) {
                    part.forEach(Layer::backward);
                }
            }
        }
    }

    private static void print(CpuSpeed.Size size, String work, double milliseconds, double operations) {
        System.out.printf(
                Locale.ROOT,
                "%s products, %s: %.1f ms, %.0f billion operations per second%n",
                size.name().toLowerCase(Locale.ROOT),
                work,
                milliseconds,
                operations / milliseconds / 1e6);
    }
}
