package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

class AttentionTangentTest extends HostTest {
    private static final AttentionTangent REFERENCE = new AttentionTangent(Kernels.NONE);

    /** Query, key and value, or their directions, as a network makes them: views of one tensor (B, L, 3, H, d). */
    private record Operands(Tensor query, Tensor key, Tensor value) {}

    /**
     * Whole and partial tiles of 64 queries and 32 keys; heads that fill the tensor cores' tiles of 16 columns, and 72 as in XL/2, which
     * is padded to 80. The bound of bfloat16: weights and rates are rounded before the last products, as in the composed operators.
     */
    @ParameterizedTest
    @CsvSource({
        "BFLOAT16, 72, 70, 45, 0.008",
        "BFLOAT16, 64, 64, 64, 0.008",
        "BFLOAT16, 8, 3, 33, 0.008",
        "FLOAT32, 72, 6, 9, 4e-6",
        "FLOAT32, 20, 5, 7, 4e-6"
    })
    void kernelsComputeTheComposedOperators(DType type, long width, long queries, long keys, double bound) {
        AttentionTangent attention = new AttentionTangent(host());
        int launches = host().launches();
        AttentionTangent.Input input = value(operands(type, width, queries, keys));
        Operands along = operands(type, width, queries, keys);
        Tensor output = attention.forward(input, along.query(), along.key(), along.value());
        Tensor expected = REFERENCE.forward(wide(input), wide(along.query()), wide(along.key()), wide(along.value()));
        Precision.assertClose("all", output, expected, bound);
        Precision.assertClose(
                "queries alone",
                attention.forward(input, along.query(), null, null),
                REFERENCE.forward(wide(input), wide(along.query()), null, null),
                bound);
        Precision.assertClose(
                "keys and values",
                attention.forward(input, null, along.key(), along.value()),
                REFERENCE.forward(wide(input), null, wide(along.key()), wide(along.value())),
                bound);
        assertEquals(3, host().launches() - launches);
    }

    /** The kernel takes rates relative to those of the first keys; otherwise this shift would cost the digits of bfloat16. */
    @Test
    void aCommonRateOfAllScoresDropsOut() {
        AttentionTangent.Input input = value(operands(DType.BFLOAT16, 64, 16, 40));
        // The same direction for every key shifts all scores of a query alike, which changes no weight.
        Tensor common = random.normal(2, 2, 1, 64).mul(8).to(DType.BFLOAT16).expand(2, 2, 40, 64);
        Tensor output = new AttentionTangent(host()).forward(input, null, common, null);
        Precision.assertClose("nothing", output, output.mul(0), 0.004);
    }

    @Test
    void composedTangentsAreDifferences() {
        Operands at = operands(DType.FLOAT32, 12, 5, 7);
        AttentionTangent.Input input = value(new Operands(wide(at.query()), wide(at.key()), wide(at.value())));
        Operands along = operands(DType.FLOAT32, 12, 5, 7);
        Tensor found = REFERENCE.forward(input, wide(along.query()), wide(along.key()), wide(along.value()));
        double step = 1e-5;
        Tensor above = moved(input, along, step);
        Tensor below = moved(input, along, -step);
        Precision.assertClose("tangent", found, above.sub(below).div(2 * step), 1e-8);
    }

    @Test
    void wrongShapesAreRefused() {
        Operands operands = operands(DType.FLOAT32, 12, 5, 7);
        Tensor statistic = random.normal(2, 2, 4);
        assertThrows(
                IllegalArgumentException.class,
                () -> new AttentionTangent.Input(
                        operands.query(), operands.key(), operands.value(), operands.query(), statistic));
    }

    private static Tensor moved(AttentionTangent.Input input, Operands along, double step) {
        return value(new Operands(
                        input.query().add(wide(along.query()).mul(step)),
                        input.key().add(wide(along.key()).mul(step)),
                        input.value().add(wide(along.value()).mul(step))))
                .output();
    }

    private Operands operands(DType type, long width, long queries, long keys) {
        Tensor joined = Precision.normal(random, type, 2, queries, 3, 2, width);
        Tensor other = Precision.normal(random, type, 2, keys, 2, 2, width);
        return new Operands(
                joined.select(2, 0).transpose(1, 2),
                other.select(2, 0).transpose(1, 2),
                other.select(2, 1).transpose(1, 2));
    }

    /** The value's pass, in the type's precision after float64 arithmetic. */
    private static AttentionTangent.Input value(Operands operands) {
        Tensor query = wide(operands.query());
        Tensor scores = query.mul(1 / Math.sqrt((double) query.size(3)))
                .matmul(wide(operands.key()).transpose(-2, -1));
        DType type = operands.query().dtype();
        return new AttentionTangent.Input(
                operands.query(),
                operands.key(),
                operands.value(),
                scores.softmax(-1).matmul(wide(operands.value())).to(type),
                scores.logsumexp(-1).to(type == DType.FLOAT64 ? type : DType.FLOAT32));
    }

    private static AttentionTangent.Input wide(AttentionTangent.Input input) {
        return new AttentionTangent.Input(
                wide(input.query()),
                wide(input.key()),
                wide(input.value()),
                wide(input.output()),
                wide(input.logsumexp()));
    }

    private static Tensor wide(Tensor tensor) {
        return tensor.to(DType.FLOAT64);
    }
}
