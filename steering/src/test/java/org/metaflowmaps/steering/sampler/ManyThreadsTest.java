package org.metaflowmaps.steering.sampler;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.steering.reward.ImageStatistic;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.ValueFunction;

/** Draws and steered samples that several threads compute together are those of one thread. */
final class ManyThreadsTest {
    private static final int THREADS = 3;
    /** Enough work for several threads, and not a multiple of their number. */
    private static final int ITEMS = 1001;

    /** Prints the number of threads, sums of results and lost tensors, in a process of its own. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) {
            System.out.println("threads " + Workers.count());
            long before = NativeMemory.liveTensors();
            System.out.println("sums " + Arrays.toString(sums()));
            System.out.println("left " + (NativeMemory.liveTensors() - before));
        }
    }

    private static double[] sums() {
        try (RandomSource random = RandomSource.seeded(5);
                MetaFlowMap original = SmallNetworks.transformer(SmallNetworks.transformerConfig(4, 2, 1, 8, 1, 2, 3));
                MetaFlowMap map = original.frozen();
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return new double[] {position(draws(map, random)), position(steered(map))};
        }
    }

    private static Tensor draws(MetaFlowMap map, RandomSource random) {
        Context context = new Context(
                random.uniform(ITEMS),
                random.normal(map.itemShape().prepend(ITEMS)),
                Condition.labelled(random.integers(0, 3, ITEMS)));
        return new PosteriorSampler(map, 2)
                .sample(Noise.of(random, map, ITEMS), context)
                .samples();
    }

    private static Tensor steered(MetaFlowMap map) {
        ValueFunction value = new ValueFunction(map, new Tilt(ImageStatistic.brightness(), new PixelDecoder(), 5), 4);
        return new SteeredSampler(
                        new MonteCarloGradient(new NetworkDrift(map, false), value, Coefficient.PAPER),
                        TimeGrid.linspace(0.1, 3),
                        Dynamics.ODE)
                .sample(
                        KeyedNoise.of(1, 0, 5, 1, map.itemShape(), Device.CPU),
                        Condition.labelled(Torch.zeros(DType.INT64, Device.CPU, 5)))
                .samples();
    }

    /** Returns a sum in which each number has another weight, so that exchanged items change it. */
    private static double position(Tensor samples) {
        double sum = 0;
        double[] numbers = samples.to(DType.FLOAT64).reshape(-1).toDoubleArray();
        for (int i = 0; i < numbers.length; i++) {
            sum += numbers[i] * Math.cos(i);
        }
        return sum;
    }

    @Test
    void resultsAreThoseOfOneThread() throws IOException, InterruptedException {
        double[] here = sums();
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-Dorg.metaflowmaps.threads=" + THREADS,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Child.class.getName())
                .redirectErrorStream(true)
                .start();
        String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, child.waitFor(), text);
        assertEquals(Integer.toString(THREADS), line(text, "threads "), text);
        assertEquals("0", line(text, "left "), text);
        String list = line(text, "sums ");
        int comma = list.indexOf(',');
        assertEquals(here[0], Double.parseDouble(list.substring(1, comma)), 1e-3, text);
        assertEquals(here[1], Double.parseDouble(list.substring(comma + 1, list.length() - 1)), 1e-5, text);
    }

    private static String line(String text, String start) {
        return text.lines()
                .filter(line -> line.startsWith(start))
                .findFirst()
                .orElseThrow(() -> new AssertionError(text))
                .substring(start.length());
    }
}
