package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link Torch#fusedAttention} is libtorch's attention, to the last bit and with its gradients, and gives the log-sum-exp. */
class FusedAttentionTest {
    private final RandomSource random = RandomSource.seeded(5);
    private long before;
    private TensorScope scope;

    @BeforeEach
    void open() {
        before = NativeMemory.liveTensors();
        scope = TensorScope.open();
    }

    @AfterEach
    void close() {
        scope.close();
        assertEquals(before, NativeMemory.liveTensors());
        random.close();
    }

    private Tensor leaf(DType type, long tokens, long width) {
        return random.normal(2, tokens, 3, width)
                .to(type)
                .transpose(1, 2)
                .detach()
                .requiresGrad_(true);
    }

    @ParameterizedTest
    @CsvSource({
        "FLOAT32, 5, 5, 8, 1e-6",
        "FLOAT32, 1, 1, 32, 1e-6",
        "FLOAT64, 4, 9, 7, 1e-14",
        "BFLOAT16, 6, 3, 16, 1e-6"
    })
    void valueAndGradientsAreThoseOfLibtorch(DType type, long tokens, long keys, long width, double bound) {
        Tensor query = leaf(type, tokens, width);
        Tensor key = leaf(type, keys, width);
        Tensor value = leaf(type, keys, width);
        Tensor expected = Torch.scaledDotProductAttention(query, key, value);
        Torch.Attention fused = Torch.fusedAttention(query, key, value);
        assertArrayEquals(expected.toDoubleArray(), fused.output().toDoubleArray());

        Tensor logsumexp = fused.logsumexp();
        assertNotNull(logsumexp);
        assertEquals(Shape.of(2, 3, tokens), logsumexp.shape());
        assertFalse(logsumexp.requiresGrad());
        Tensor scores = query.to(DType.FLOAT64)
                .matmul(key.to(DType.FLOAT64).transpose(-2, -1))
                .div(Math.sqrt((double) width));
        assertArrayEquals(scores.logsumexp(-1).toDoubleArray(), logsumexp.toDoubleArray(), 4 * bound);

        Tensor weights = random.normal(expected.shape()).to(type);
        List<Tensor> sources = List.of(query, key, value);
        List<Tensor> wanted = Autograd.gradients(expected, sources, weights);
        List<Tensor> found = Autograd.gradients(fused.output(), sources, weights);
        for (int i = 0; i < 3; i++) {
            assertArrayEquals(wanted.get(i).toDoubleArray(), found.get(i).toDoubleArray());
        }
    }

    /** Without keys libtorch computes single operators, which have no log-sum-exp to give. */
    @Test
    void withoutKeysThereIsNoLogsumexp() {
        Tensor query = leaf(DType.FLOAT32, 2, 4);
        Tensor none = Torch.zeros(2, 3, 0, 4);
        Torch.Attention attention = Torch.fusedAttention(query, none, none);
        assertEquals(query.shape(), attention.output().shape());
        assertNull(attention.logsumexp());
    }

    @Test
    void typesMayNotDiffer() {
        Tensor query = leaf(DType.FLOAT32, 2, 4);
        Tensor key = leaf(DType.FLOAT64, 2, 4);
        assertThrows(TensorException.class, () -> Torch.fusedAttention(query, key, key));
    }
}
