package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Locale;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;

/** Comparison of kernels with float64 references. */
final class Precision {
    private Precision() {}

    /** Normal values, rounded to a type that kernels take, so that a float64 copy has the same values. */
    static Tensor normal(RandomSource random, DType type, long... shape) {
        return random.normal(shape).to(type);
    }

    /** The largest |actual - expected| / (1 + |expected|). */
    static double error(Tensor actual, Tensor expected) {
        Tensor wide = expected.to(DType.FLOAT64);
        return actual.to(DType.FLOAT64)
                .sub(wide)
                .abs()
                .div(wide.abs().add(1))
                .max()
                .item();
    }

    /**
     * Checks {@link #error}; a value that is not a number fails too. The system property
     * {@code org.metaflowmaps.kernels.errors}, {@code true}, prints the errors.
     */
    static void assertClose(String what, Tensor actual, Tensor expected, double bound) {
        double error = error(actual, expected);
        if (Boolean.getBoolean("org.metaflowmaps.kernels.errors")) {
            System.out.printf(Locale.ROOT, "%s, %s: error %.1e, allowed %.1e%n", what, actual.dtype(), error, bound);
        }
        assertTrue(error <= bound, what + ": error " + error + ", allowed " + bound);
    }

    /** Half a unit in the last place of bfloat16, 1/256, with room for the arithmetic before the rounding; else {@code single}. */
    static double bound(DType type, double single) {
        return type == DType.BFLOAT16 ? 1.0 / 256 : single;
    }
}
