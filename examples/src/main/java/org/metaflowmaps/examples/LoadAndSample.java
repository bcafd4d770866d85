package org.metaflowmaps.examples;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Loads a map of images of 28 by 28 pixels, samples two classes, and draws from the posteriors of their noisy states.
 */
public final class LoadAndSample {
    private LoadAndSample() {}

    /**
     * Prints the first pixel of the first draw.
     *
     * @param arguments a checkpoint, such as that of {@code mfm quickstart}
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException(
                    "expected one argument: a checkpoint, such as runs/quickstart/checkpoint.safetensors");
        }
        sample(Path.of(arguments[0]));
    }

    // README.md shows the code between the two comments; a test compares them.
    private static void sample(Path file) throws IOException {
        // example begins
        try (MetaFlowMap map = Networks.load(file, Device.CPU);
                RandomSource random = RandomSource.seeded(1);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.inference()) {
            Condition condition = Condition.labelled(Torch.of(new long[] {0, 9})); // a T-shirt and an ankle boot
            SampleResult four = new RefinementSampler(map, 4).sample(Noise.of(random, map, 2), condition);
            Tensor images =
                    four.samples(); // (2, 1, 28, 28), about in [-1, 1], by four.evaluations() of the network each

            Tensor time = Torch.of(new float[] {0.3f, 0.3f}); // both noised to t = 0.3
            Tensor noisy = random.normal(2, 1, 28, 28).lerp(images, time.reshape(2, 1, 1, 1));
            Context context = new Context(time, noisy, condition);
            Tensor draws = new PosteriorSampler(map, 1)
                    .sample(random, context, 16)
                    .samples(); // (2, 16, 1, 28, 28), one step each

            MemorySegment pixels = draws.contiguous().segment(); // the tensor's own memory, until the scope closes
            System.out.println(pixels.get(ValueLayout.JAVA_FLOAT, 0));
        }
        // example ends
    }
}
