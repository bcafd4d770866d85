package org.metaflowmaps.models.vision;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/** What holds for an autoencoder of any weights. */
class AutoencoderTest {
    private static final AutoencoderSettings SMALL = new AutoencoderSettings(4, 0.5, 0.25, true);

    private static AutoencoderKL network(DType type) throws IOException {
        try (TensorFile file = TensorFile.open(ReferenceValuesTest.file("vae.safetensors"))) {
            return AutoencoderKL.read(file, SMALL, type, Device.CPU);
        }
    }

    @Test
    void aLargeBatchIsComputedInParts() throws IOException {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1);
                AutoencoderKL network = network(DType.FLOAT64)) {
            Tensor latents = random.normal(66, 4, 1, 1).to(DType.FLOAT64);
            Tensor all = network.decode(latents);
            assertEquals(Shape.of(66, 3, 8, 8), all.shape());
            for (long item : new long[] {0, 63, 64, 65}) {
                assertArrayEquals(
                        network.decode(latents.narrow(0, item, 1)).toDoubleArray(),
                        all.narrow(0, item, 1).toDoubleArray(),
                        1e-12);
            }
        }
    }

    @Test
    void scalingIsUndone() throws IOException {
        try (TensorScope scope = TensorScope.open();
                AutoencoderKL network = network(DType.FLOAT32)) {
            Tensor own = Torch.of(new double[] {1, -2});
            assertArrayEquals(new double[] {0.375, -1.125}, network.scaled(own).toDoubleArray());
            assertArrayEquals(
                    own.toDoubleArray(), network.unscaled(network.scaled(own)).toDoubleArray());
        }
    }

    /** Gradients reach images and latents, and no weight. */
    @Test
    void onlyInputsHaveGradients() throws IOException {
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                AutoencoderKL network = network(DType.FLOAT32)) {
            Tensor images = Torch.zeros(1, 3, 8, 16).requiresGrad_(true);
            Tensor decoded = network.decode(network.encode(images).mean());
            Tensor gradient = Autograd.gradients(decoded.sum(), List.of(images)).getFirst();
            assertEquals(images.shape(), gradient.shape());
            network.parameters().parameters().values().forEach(weight -> assertFalse(weight.requiresGrad()));
            Tensor plain = network.decode(Torch.zeros(1, 4, 1, 2));
            assertFalse(plain.requiresGrad());
        }
        assertEquals(before, NativeMemory.liveTensors(), "live tensors");
    }

    /** A block frees its intermediate tensors: calls leave one tensor each. */
    @Test
    void callsLeaveTheirResultOnly() throws IOException {
        try (TensorScope scope = TensorScope.open();
                AutoencoderKL network = network(DType.FLOAT32)) {
            Tensor latents = Torch.zeros(1, 4, 1, 1);
            int held = scope.size();
            network.decode(latents);
            // The result, and the input under the network's type.
            assertEquals(held + 2, scope.size());
        }
    }

    @Test
    void bfloat16IsNear() throws IOException {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2);
                AutoencoderKL exact = network(DType.FLOAT32);
                AutoencoderKL narrow = network(DType.BFLOAT16)) {
            Tensor latents = random.normal(1, 4, 2, 2);
            Tensor expected = exact.decode(latents);
            Tensor found = narrow.decode(latents);
            assertEquals(DType.FLOAT32, found.dtype());
            assertEquals(0, found.sub(expected).norm().item() / expected.norm().item(), 0.05);
        }
    }

    @Test
    void otherImagesAreRefused() throws IOException {
        try (TensorScope scope = TensorScope.open();
                AutoencoderKL network = network(DType.FLOAT32)) {
            illegalArgument("multiples of 8", () -> network.moments(Torch.zeros(1, 3, 8, 12)));
            illegalArgument("(batch, 3, height, width)", () -> network.moments(Torch.zeros(1, 1, 8, 8)));
            illegalArgument("(batch, 4, height, width)", () -> network.decode(Torch.zeros(4, 8, 8)));
            illegalArgument("floating-point", () -> network.moments(Torch.zeros(DType.UINT8, Device.CPU, 1, 3, 8, 8)));
            illegalArgument("2 · channels", () -> Posterior.of(Torch.zeros(1, 3, 2, 2)));
            illegalArgument(
                    "the shape of the mean",
                    () -> Posterior.of(Torch.zeros(1, 2, 2, 2)).sample(Torch.zeros(1, 1, 2, 1)));
        }
    }
}
