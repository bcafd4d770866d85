package org.metaflowmaps.runtime.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** A few steps of {@link AdamPass} by kernels, compared with composed ones on the same device. */
final class AdamPassCheck {
    /** Not a multiple of four, so that a thread takes single values. */
    private static final int COUNT = 4099;

    private static final double BOUND = 1e-5;
    private static final double LARGEST = 5;

    private AdamPassCheck() {}

    /** Returns a truth value of one element: all buffers are close after steps that clip, skip, and follow many others. */
    static Tensor agrees(Kernels kernels, Device device) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor agree = Torch.zeros(DType.FLOAT32, device).eq(0);
            for (boolean rectified : new boolean[] {false, true}) {
                AdamPass.Settings settings =
                        new AdamPass.Settings(0.9, 0.99, 1e-8, rectified ? 0 : 0.1, LARGEST, rectified);
                AdamPass.Buffers fused = buffers(device);
                AdamPass.Buffers composed = buffers(device);
                // The count 0 is that of a first step that is skipped.
                for (int count : new int[] {0, 1, 2, 100}) {
                    Tensor gradients = wave(device, 0.3 + count);
                    fused.gradients().copy_(gradients);
                    composed.gradients().copy_(gradients);
                    AdamPass.Scalars scalars = new AdamPass.Scalars(
                            Torch.full(0.01, DType.FLOAT64, device),
                            Torch.full(count, DType.FLOAT64, device),
                            Torch.full(count == 0 ? 1 : 0, DType.FLOAT32, device),
                            count == 2 ? Torch.full(1, DType.FLOAT32, device) : gradients.norm(),
                            Torch.full(count == 1 ? 1 : 0.1, DType.FLOAT32, device));
                    new AdamPass(kernels, settings).step(fused, scalars);
                    AdamPass.composed(settings).step(composed, scalars);
                }
                List<Tensor> expected = tensors(composed);
                List<Tensor> actual = tensors(fused);
                for (int i = 0; i < expected.size(); i++) {
                    Tensor apart = actual.get(i).sub(expected.get(i)).abs();
                    Tensor size = expected.get(i).abs().add(1);
                    agree = agree.mul(apart.div(size).max().le(BOUND));
                }
                // The copy rounds values that may differ in their last digit.
                Tensor shadow = Objects.requireNonNull(fused.shadow()).to(DType.FLOAT32);
                Tensor apart = shadow.sub(fused.values()).abs();
                agree = agree.mul(apart.div(fused.values().abs().add(1)).max().le(1 / 256.0));
            }
            return agree;
        }
    }

    private static Tensor wave(Device device, double frequency) {
        return Torch.arange(COUNT).to(device).to(DType.FLOAT32).mul(frequency).sin();
    }

    private static AdamPass.Buffers buffers(Device device) {
        return new AdamPass.Buffers(
                wave(device, 1.7),
                wave(device, 1),
                wave(device, 2.1).mul(0.1),
                wave(device, 2.9).square(),
                wave(device, 0.7),
                Torch.zeros(DType.BFLOAT16, device, COUNT));
    }

    private static List<Tensor> tensors(AdamPass.Buffers buffers) {
        return new ArrayList<>(
                List.of(buffers.values(), buffers.mean(), buffers.square(), Objects.requireNonNull(buffers.average())));
    }
}
