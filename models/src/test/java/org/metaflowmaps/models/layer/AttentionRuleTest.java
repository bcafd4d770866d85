package org.metaflowmaps.models.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The tangent of attention from the log-sum-exp of the fused operator, compared with the rule without it. {@link DualTest} compares that one
 * with libtorch's forward mode, which switches fused attention off.
 */
final class AttentionRuleTest {
    /** The last two take several tiles of the CPU: 10 of 11 heads and then one, and one head at a time. */
    @ParameterizedTest
    @CsvSource({
        "2, 3, 5, 5, 8",
        "2, 3, 1, 1, 8",
        "2, 2, 4, 9, 7",
        "1, 2, 1, 6, 3",
        "3, 4, 49, 49, 32",
        "1, 11, 320, 320, 4",
        "1, 2, 1100, 1000, 2"
    })
    void tangentsAreThoseWithoutTheLogsumexp(long batch, long heads, long tokens, long keys, long width) {
        long before = NativeMemory.liveTensors();
        for (int directions = 1; directions < 8; directions++) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(directions)) {
                Dual[] exact = new Dual[3];
                Dual[] single = new Dual[3];
                for (int i = 0; i < 3; i++) {
                    Tensor value = heads(random, batch, i == 0 ? tokens : keys, heads, width);
                    Tensor direction = heads(random, batch, i == 0 ? tokens : keys, heads, width);
                    boolean varies = (directions >> i & 1) == 1;
                    exact[i] = varies ? Dual.of(value, direction) : Dual.constant(value);
                    single[i] = exact[i].to(DType.FLOAT32);
                }
                Dual found = Dual.attention(exact[0], exact[1], exact[2]);
                Dual expected = plain(exact);
                assertClose(expected.primal(), found.primal(), 1e-12);
                assertClose(expected.tangentOrZero(), found.tangentOrZero(), 1e-12);
                assertFalse(found.tangentOrZero().requiresGrad());
                Dual rounded = Dual.attention(single[0], single[1], single[2]);
                assertClose(expected.tangentOrZero(), rounded.tangentOrZero(), 2e-5);
            }
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** Without this, the test above would compare the older rule with itself. */
    @Test
    void theTwoRulesDiffer() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1);
                ForwardMode.PlainAttention plain = new ForwardMode.PlainAttention()) {
            Tensor value = heads(random, 1, 3, 2, 4);
            assertNull(Torch.fusedAttention(value, value, value).logsumexp());
        }
    }

    /** Under autocast and for bfloat16 operands, products are those of float32, and the tangent is rounded once. */
    @Test
    void bfloat16TangentsAreRoundedOnceOnTheCpu() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            Dual[] mixed = new Dual[3];
            for (int i = 0; i < 3; i++) {
                mixed[i] = Dual.of(heads(random, 2, 40, 3, 16), heads(random, 2, 40, 3, 16))
                        .to(DType.BFLOAT16);
            }
            Tensor exact = plain(Arrays.stream(mixed)
                            .map(operand -> operand.to(DType.FLOAT64))
                            .toArray(Dual[]::new))
                    .tangentOrZero();
            Dual[] single = Arrays.stream(mixed)
                    .map(operand -> operand.to(DType.FLOAT32))
                    .toArray(Dual[]::new);
            Dual found;
            try (Autocast on = Autocast.bfloat16(Device.Type.CPU)) {
                found = Dual.attention(single[0], mixed[1], single[2]);
            }
            assertEquals(DType.BFLOAT16, found.primal().dtype());
            assertEquals(DType.BFLOAT16, found.tangentOrZero().dtype());
            assertEquals(0, error(exact, found.tangentOrZero()), 0.004);
        }
    }

    @Test
    void bfloat16HeadsAreMultipliedInFloat32OnTheCpu() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(11)) {
            Tensor[] heads = new Tensor[3];
            for (int i = 0; i < heads.length; i++) {
                heads[i] = random.normal(2, 3, 20, 8).to(DType.BFLOAT16).to(DType.FLOAT32);
            }
            Tensor exact = Torch.scaledDotProductAttention(heads[0], heads[1], heads[2]);
            Tensor narrow = attention(DType.BFLOAT16, heads);
            assertEquals(DType.BFLOAT16, narrow.dtype());
            assertClose(exact.to(DType.BFLOAT16), narrow, 0);
            try (Autocast on = Autocast.bfloat16(Device.Type.CPU)) {
                assertClose(narrow, attention(DType.FLOAT32, heads), 0);
                assertEquals(DType.FLOAT64, attention(DType.FLOAT64, heads).dtype());
            }
        }
    }

    private static Tensor attention(DType type, Tensor[] heads) {
        return Dual.attention(
                        Dual.constant(heads[0].to(type)),
                        Dual.constant(heads[1].to(type)),
                        Dual.constant(heads[2].to(type)))
                .primal();
    }

    @Test
    void gradientsOfTheValueAreThoseOfFusedAttention() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4)) {
            Dual[] operands = new Dual[3];
            for (int i = 0; i < 3; i++) {
                Tensor value = random.normal(2, 3, 6, 8).requiresGrad_(true);
                operands[i] = Dual.of(value, random.normal(2, 3, 6, 8));
            }
            List<Tensor> sources = Arrays.stream(operands).map(Dual::primal).toList();
            Tensor weights = random.normal(2, 3, 6, 8);
            List<Tensor> expected = Autograd.gradients(
                    Torch.scaledDotProductAttention(sources.get(0), sources.get(1), sources.get(2)), sources, weights);
            List<Tensor> found = Autograd.gradients(
                    Dual.attention(operands[0], operands[1], operands[2]).primal(), sources, weights);
            for (int i = 0; i < 3; i++) {
                assertClose(expected.get(i), found.get(i), 0);
            }
        }
    }

    private static Dual plain(Dual... operands) {
        try (ForwardMode.PlainAttention plain = new ForwardMode.PlainAttention()) {
            return Dual.attention(operands[0], operands[1], operands[2]);
        }
    }

    /** As a network makes them: a view of (B, L, H, d). */
    private static Tensor heads(RandomSource random, long batch, long tokens, long heads, long width) {
        return random.normal(batch, tokens, heads, width).to(DType.FLOAT64).transpose(1, 2);
    }

    private static double error(Tensor expected, Tensor actual) {
        return expected.sub(actual.to(expected.dtype())).abs().max().item();
    }

    private static void assertClose(Tensor expected, Tensor actual, double bound) {
        double error = error(expected, actual);
        assertTrue(error <= bound, error + " of " + expected.abs().max().item());
    }
}
