package org.metaflowmaps.models.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;

/** Rules of {@link Dual} that launch this library's kernels. */
@Pretend
final class AttentionPretendTest {
    private static final Device GPU = Device.cuda(0);

    /**
     * Flash attention for bfloat16, memory-efficient attention for float32, whose log-sum-exp is padded to a multiple of 32 queries and then
     * copied.
     */
    @ParameterizedTest
    @CsvSource({"BFLOAT16, 64, 49, 1", "BFLOAT16, 72, 256, 1", "FLOAT32, 32, 64, 1", "FLOAT32, 32, 49, 2"})
    void theTangentOfAttentionIsOneLaunchMore(DType type, long width, long tokens, int more) {
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open()) {
            Dual[] operands = new Dual[3];
            for (int i = 0; i < 3; i++) {
                operands[i] = Dual.of(heads(type, tokens, width).requiresGrad_(true), heads(type, tokens, width));
            }
            Tensor query = operands[0].primal();
            Torch.Attention attention = Torch.fusedAttention(query, query, query);
            Tensor logsumexp = attention.logsumexp();
            assertNotNull(logsumexp);
            assertEquals(Shape.of(2, 3, tokens), logsumexp.shape());
            assertEquals(DType.FLOAT32, logsumexp.dtype());
            Dual.attention(operands[0], operands[1], operands[2]);
            PretendCuda.Counters value = PretendCuda.count(() -> Torch.scaledDotProductAttention(query, query, query));
            PretendCuda.Counters both = PretendCuda.count(() -> Dual.attention(operands[0], operands[1], operands[2]));
            assertEquals(value.submitted() + more, both.submitted(), value + " and " + both);
            assertEquals(0, both.hostReads());
            Tensor output =
                    Dual.attention(operands[0], operands[1], operands[2]).primal();
            Autograd.backward(output.sum());
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** A width that the kernel on tensor cores cannot load takes the rule without a log-sum-exp. */
    @Test
    void otherWidthsTakeSingleOperators() {
        try (TensorScope scope = TensorScope.open();
                Autocast on = Autocast.bfloat16(Device.Type.CUDA)) {
            Dual operand = Dual.of(heads(DType.FLOAT32, 9, 12), heads(DType.FLOAT32, 9, 12));
            PretendCuda.Counters both = PretendCuda.count(() -> Dual.attention(operand, operand, operand));
            assertTrue(both.products() >= 3, both.toString());
            assertEquals(
                    DType.BFLOAT16,
                    Dual.attention(operand, operand, operand).tangentOrZero().dtype());
        }
    }

    @Test
    void geluWithATangentIsOneLaunch() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor input = Torch.zeros(DType.BFLOAT16, GPU, 2, 8, 16);
            Dual hidden = Dual.of(input, input);
            hidden.geluTanh();
            assertEquals(1, PretendCuda.count(hidden::geluTanh).submitted());
        }
    }

    private static Tensor heads(DType type, long tokens, long width) {
        return Torch.zeros(type, GPU, 2, tokens, 3, width).transpose(1, 2);
    }
}
