package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.steering.reward.NetworkRewardTest.open;
import static org.metaflowmaps.steering.reward.NetworkRewardTest.prompt;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.models.vision.AutoencoderKL;
import org.metaflowmaps.models.vision.AutoencoderSettings;
import org.metaflowmaps.models.vision.TinyNetworks;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Latents that are decoded and scored, with small networks of random weights. */
final class LatentRewardTest {
    private static final AutoencoderSettings VAE = new AutoencoderSettings(4, 0.18215, 0, true);

    @TempDir
    private static Path folder;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Central differences of the score in latents, through the autoencoder, in float64. */
    @Test
    void theGradientInTheLatentIsThatOfDifferences() throws IOException {
        double step = 1e-5;
        try (TensorScope scope = TensorScope.open();
                LatentDecoder decoder = new LatentDecoder(
                        AutoencoderKL.load(TinyNetworks.weights(folder, "vae"), VAE, DType.FLOAT64, Device.CPU),
                        LatentScaling.of(0.18215, 0),
                        LatentDecoder.Clamp.NONE);
                Reward reward = open(folder, "hps", "hpsv2", ",precision=float64", prompt("a photo of a cat"))) {
            Tensor states = Samples.normal(3, 2, 4, 2, 3).mul(0.2);
            Tensor gradient = gradient(new Tilt(reward, decoder, 1), states);
            // One at a time, which frees each graph before the next.
            assertClose(gradient, gradient(new Tilt(reward, decoder, 1, 1), states), 1e-12, "one at a time");
            Tilt tilt = new Tilt(reward, decoder, 1, 1);
            int numbers = Math.toIntExact(states.numel() / 2);
            double[] expected = new double[2 * numbers];
            for (int i = 0; i < numbers; i++) {
                try (TensorScope part = TensorScope.open()) {
                    double[] move = new double[numbers];
                    move[i] = step;
                    Tensor moved = Torch.of(move).reshape(states.shape().from(1));
                    double[] up =
                            tilt.score(states.add(moved), Condition.none()).toDoubleArray();
                    double[] down =
                            tilt.score(states.sub(moved), Condition.none()).toDoubleArray();
                    expected[i] = (up[0] - down[0]) / (2 * step);
                    expected[numbers + i] = (up[1] - down[1]) / (2 * step);
                }
            }
            double size = gradient.abs().max().item();
            assertTrue(size > 1e-5, "a gradient of at most " + size);
            assertClose(Torch.of(expected).reshape(states.shape()).div(size), gradient.div(size), 1e-6, "gradient");
        }
    }

    private static Tensor gradient(Tilt tilt, Tensor states) {
        Tensor leaf = states.clone().requiresGrad_(true);
        // Different factors, so that each item's gradient must be its own.
        long items = states.size(0);
        Tensor factors = Torch.arange(items).add(1).to(states.dtype());
        Tensor total = tilt.score(leaf, Condition.none()).mul(factors).sum();
        return Autograd.gradients(total, List.of(leaf)).getFirst().div(factors.reshape(items, 1, 1, 1));
    }

    @Test
    void decodedPixelsAreClampedAsAsked() throws IOException {
        Path file = TinyNetworks.weights(folder, "taesd");
        LatentDecoder.Clamp[] clamps = LatentDecoder.Clamp.values();
        double[][] images = new double[clamps.length][];
        double[] sizes = new double[3];
        try (TensorScope scope = TensorScope.open()) {
            Tensor states = Samples.normal(5, 1, 4, 2, 2).mul(3).to(DType.FLOAT32);
            for (int i = 0; i < clamps.length; i++) {
                LatentDecoder.Clamp clamp = clamps[i];
                Autoencoder network = Autoencoder.load(file, DType.FLOAT32, Device.CPU);
                // The data's scale is half of the autoencoder's, so the latents are too.
                try (LatentDecoder decoder =
                        new LatentDecoder(network, LatentScaling.of(network.scale() / 2, 0), clamp)) {
                    Tensor leaf = states.div(2).requiresGrad_(true);
                    Tensor decoded = decoder.decode(leaf);
                    images[i] = decoded.detach().toDoubleArray();
                    sizes[i] = Autograd.gradients(decoded.sum(), List.of(leaf))
                            .getFirst()
                            .norm()
                            .item();
                    if (i == 0) {
                        Tensor plain = network.decodeScaled(states).add(1).div(2);
                        assertClose(plain.clampMin(0).clampMax(1), decoded.detach(), 1e-6, "decoded");
                    }
                }
            }
        }
        assertArrayEquals(images[0], images[1], 1e-6);
        assertTrue(Arrays.stream(images[0]).allMatch(value -> value >= 0 && value <= 1));
        assertTrue(Arrays.stream(images[2]).anyMatch(value -> value < 0 || value > 1));
        assertEquals(sizes[0], sizes[2], 1e-3 * sizes[2]);
        assertTrue(Math.abs(sizes[1] - sizes[0]) > 1e-3 * sizes[0], Arrays.toString(sizes));
    }

    /** With gradients too; the bound is that of published networks in half precision. */
    @Test
    void autocastDecodesAndScoresNearly() throws IOException {
        for (String name : List.of("vae", "taesd")) {
            try (TensorScope scope = TensorScope.open();
                    LatentDecoder decoder = LatentDecoder.load(TinyNetworks.weights(folder, name), Device.CPU);
                    Reward reward = open(folder, "hps", "hpsv2", "", prompt("a photo of a cat"))) {
                Tensor states = Samples.normal(6, 3, 4, 2, 2).to(DType.FLOAT32);
                Tensor exact = decoder.decode(states);
                Tensor gradient = gradient(new Tilt(reward, decoder, 1, 2), states);
                try (Autocast mixed = Autocast.bfloat16(Device.Type.CPU)) {
                    assertClose(exact, decoder.decode(states), 0.05, name);
                    Tensor near = gradient(new Tilt(reward, decoder, 1, 2), states);
                    double cosine = near.mul(gradient).sum().item()
                            / near.norm().item()
                            / gradient.norm().item();
                    assertTrue(cosine > 0.95, name + ": cosine " + cosine);
                }
            }
        }
    }

    /** The message names the part of the computation in which NaN appeared. */
    @Test
    void aNaNIsTracedToItsStage() throws IOException {
        try (TensorScope scope = TensorScope.open();
                LatentDecoder decoder = LatentDecoder.load(TinyNetworks.weights(folder, "taesd"), Device.CPU);
                LatentDecoder broken = LatentDecoder.load(TinyNetworks.weights(folder, "taesd"), Device.CPU);
                Reward reward = open(folder, "hps", "hpsv2", "", prompt("a photo of a cat"))) {
            Tensor states = Torch.zeros(1, 4, 3, 3);
            Tilt tilt = new Tilt(reward, decoder, 1);
            tilt.score(states, Condition.none());
            assertEquals("", tilt.diagnosis());
            Tensor weights = broken.autoencoder().parameters().values();
            try (Autograd.Mode off = Autograd.noGrad()) {
                weights.fill_(Double.NaN);
            }
            Tilt bad = new Tilt(reward, broken, 1);
            bad.score(states, Condition.none());
            assertTrue(bad.diagnosis().contains("the autoencoder's images"), bad.diagnosis());
            tilt.score(states.add(Double.NaN), Condition.none());
            assertTrue(tilt.diagnosis().contains("the latents given"), tilt.diagnosis());
            assertTrue(reward.diagnosis().contains("the images given to hpsv2"), reward.diagnosis());
        }
    }
}
