package org.metaflowmaps.examples;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Optional;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.JavaReward;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredResult;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * Steers samples of a map of images towards a reward that is a Java function, and reads their pixels without a copy.
 *
 * <p>A Java function has no gradient, so the drift is corrected by MFM-GF, which needs none.
 */
public final class SteerByOwnReward {
    private static final int STEPS = 20;
    private static final int DRAWS = 8;
    private static final int COUNT = 4;
    private static final double STRENGTH = 40;

    private SteerByOwnReward() {}

    /**
     * Prints the mean reward of plain samples and of steered samples from the same noise.
     *
     * @param arguments a checkpoint, such as that of {@code mfm quickstart}
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException(
                    "expected one argument: a checkpoint, such as runs/quickstart/checkpoint.safetensors");
        }
        try (MetaFlowMap map = Networks.load(Path.of(arguments[0]), Device.CPU);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tilt tilt = new Tilt(new JavaReward("left side", SteerByOwnReward::leftSide), new PixelDecoder(), STRENGTH);
            NetworkDrift drift = new NetworkDrift(map, false);
            Tensor plain = samples(map, tilt, new NoSteering(drift));
            Tensor steered = samples(
                    map, tilt, new GradientFree(drift, new ValueFunction(map, tilt, DRAWS), GradientFree.Centre.DRAWS));
            System.out.println("plain " + plain.mean().item());
            System.out.println("steered " + steered.mean().item());
        }
    }

    /** Returns the rewards of a few shirts; both calls have the same noise. */
    private static Tensor samples(MetaFlowMap map, Tilt tilt, ValueGradient estimator) {
        Condition shirts = Condition.labelled(Torch.of(new long[] {6}).repeatInterleave(COUNT, 0));
        SteeredSampler sampler = new SteeredSampler(
                Schedule.always(estimator),
                TimeGrid.linspace(0.01, STEPS),
                Dynamics.ODE,
                CorrectionScale.EXACT,
                Optional.of(tilt),
                false);
        SteeredResult result = sampler.sample(KeyedNoise.of(1, 0, COUNT, 1, map.itemShape(), Device.CPU), shirts);
        MemorySegment pixels = result.samples().contiguous().segment(); // the tensor's own memory, about in [-1, 1]
        System.out.println("first pixel " + pixels.get(ValueLayout.JAVA_FLOAT, 0));
        return result.rewards().orElseThrow();
    }

    /** The mean brightness of each image's left half. */
    private static float[] leftSide(MemorySegment images, Shape shape) {
        float[] scores = new float[(int) shape.size(0)];
        long width = shape.size(3);
        long size = shape.numel() / shape.size(0);
        for (int item = 0; item < scores.length; item++) {
            double sum = 0;
            for (long pixel = 0; pixel < size; pixel++) {
                if (pixel % width < width / 2) {
                    sum += images.getAtIndex(ValueLayout.JAVA_FLOAT, item * size + pixel);
                }
            }
            scores[item] = (float) (2 * sum / size);
        }
        return scores;
    }
}
