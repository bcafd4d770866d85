package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

/** Comparison of tensors. */
public final class Close {
    private Close() {}

    /** Asserts equal shapes and differences of at most {@code tolerance} times the largest expected entry or 1. */
    public static void assertClose(Tensor expected, Tensor actual, double tolerance, String what) {
        assertEquals(expected.shape(), actual.shape(), what + ": shape");
        double apart = farthest(expected, actual);
        if (!(apart <= tolerance)) {
            fail(what + ": apart by " + apart + ", allowed is " + tolerance);
        }
    }

    /** Returns the largest difference, relative to the largest expected entry or 1. */
    public static double farthest(Tensor expected, Tensor actual) {
        double[] left = expected.toDoubleArray();
        double[] right = actual.toDoubleArray();
        double size = 1;
        double apart = 0;
        for (int i = 0; i < left.length; i++) {
            size = Math.max(size, Math.abs(left[i]));
            double distance = Math.abs(left[i] - right[i]);
            apart = Double.isNaN(distance) ? Double.POSITIVE_INFINITY : Math.max(apart, distance);
        }
        return apart / size;
    }
}
