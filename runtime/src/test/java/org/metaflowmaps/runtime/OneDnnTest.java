package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.LinearPointwise;
import org.metaflowmaps.bindings.Processor;

class OneDnnTest {
    private static final long IN = 96;
    private static final long OUT = 160;

    private long before;
    private TensorScope scope;

    @BeforeEach
    void open() {
        before = NativeMemory.liveTensors();
        scope = TensorScope.open();
        assumeTrue(LinearPointwise.isAvailable(), "this libtorch was built without oneDNN");
        assumeTrue(System.getProperty("os.arch").equals("amd64"), "oneDNN is used on x86-64 only");
    }

    @AfterEach
    void close() {
        scope.close();
        assertEquals(before, NativeMemory.liveTensors());
    }

    private static Tensor normal(RandomSource random, long... shape) {
        return random.normal(Shape.of(shape));
    }

    private static double error(Tensor found, Tensor expected) {
        return found.to(DType.FLOAT64).sub(expected).abs().max().item();
    }

    @Test
    void productsAreThoseOfFloat64() {
        try (RandomSource random = RandomSource.seeded(1)) {
            Tensor input = normal(random, 7, 50, IN);
            Tensor bias = normal(random, OUT);
            for (Tensor weight :
                    List.of(normal(random, OUT, IN), normal(random, IN, OUT).transpose(0, 1))) {
                assertTrue(OneDnn.computes(input, weight));
                Tensor exact = Torch.linear(input.to(DType.FLOAT64), weight.to(DType.FLOAT64));
                Tensor shifted = exact.add(bias.to(DType.FLOAT64));
                assertEquals(Shape.of(7, 50, OUT), Torch.linear(input, weight).shape());
                assertEquals(0, error(Torch.linear(input, weight), exact), 1e-4);
                assertEquals(0, error(Torch.linear(input, weight, bias), shifted), 1e-4);
                Tensor flipped =
                        input.reshape(350, IN).transpose(0, 1).contiguous().transpose(0, 1);
                assertEquals(0, error(Torch.linear(flipped, weight, bias), shifted.reshape(350, OUT)), 1e-4);
            }
        }
    }

    @Test
    void geluIsThatOfTheProduct() {
        try (RandomSource random = RandomSource.seeded(2)) {
            Tensor input = normal(random, 350, IN);
            Tensor weight = normal(random, OUT, IN).mul(0.2);
            Tensor bias = normal(random, OUT);
            Optional<Tensor> found = OneDnn.linearGeluTanh(input, weight, bias);
            assertEquals(Processor.hasAvx512(), found.isPresent());
            assumeTrue(found.isPresent(), "this processor has no AVX-512");
            Tensor exact = Torch.geluTanh(
                    Torch.linear(input.to(DType.FLOAT64), weight.to(DType.FLOAT64), bias.to(DType.FLOAT64)));
            assertEquals(0, error(found.orElseThrow(), exact), 1e-5);
        }
    }

    @Test
    void gradientsAreLeftToLibtorch() {
        try (RandomSource random = RandomSource.seeded(3)) {
            Tensor input = normal(random, 350, IN);
            Tensor weight = normal(random, OUT, IN).requiresGrad_(true);
            Tensor bias = normal(random, OUT);
            assertFalse(OneDnn.computes(input, weight));
            assertTrue(OneDnn.linearGeluTanh(input, weight, bias).isEmpty());
            Tensor product = Torch.linear(input, weight, bias);
            assertTrue(product.requiresGrad());
            assertNotNull(Autograd.gradients(product.sum(), List.of(weight)).getFirst());
            try (Autograd.Mode off = Autograd.noGrad()) {
                assertTrue(OneDnn.computes(input, weight));
                assertFalse(Torch.linear(input, weight, bias).requiresGrad());
            }
        }
    }

    @Test
    void otherOperandsAreLeftToLibtorch() {
        try (RandomSource random = RandomSource.seeded(4)) {
            Tensor input = normal(random, 350, IN);
            Tensor weight = normal(random, OUT, IN);
            assertFalse(OneDnn.computes(input.narrow(0, 0, 1), weight), "small");
            assertFalse(OneDnn.computes(input.to(DType.FLOAT64), weight.to(DType.FLOAT64)), "float64");
            assertFalse(OneDnn.computes(input, weight.narrow(1, 0, IN - 1)), "widths that differ");
            assertFalse(OneDnn.computes(input, normal(random, OUT, 2 * IN).narrow(1, 0, IN)), "with gaps");
            assertFalse(OneDnn.computes(input, normal(random, 1, IN).expand(OUT, IN)), "repeated");
            try (Autocast narrow = Autocast.bfloat16(Device.Type.CPU)) {
                assertFalse(OneDnn.computes(input, weight), "autocast");
            }
            Refusal.refused(
                    TensorException.class,
                    "linear failed on float32[350, 96]",
                    () -> Torch.linear(input, weight.narrow(1, 0, IN - 1)));
        }
    }

    @Test
    void twoTimesTheSameIsTheSame() {
        try (RandomSource random = RandomSource.seeded(5)) {
            Tensor input = normal(random, 350, IN);
            Tensor weight = normal(random, OUT, IN);
            assertEquals(
                    0,
                    error(
                            Torch.linear(input, weight),
                            Torch.linear(input, weight).to(DType.FLOAT64)));
        }
    }
}
