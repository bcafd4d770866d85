package org.metaflowmaps.training.plan;

/**
 * Floating point operations of matrix products, a multiplication and an addition being two; other operations are not
 * counted.
 *
 * @param forward of evaluations, also of those without gradients and of a teacher
 * @param tangent of forward-mode derivatives
 * @param backward of the backward passes
 */
public record Flops(double forward, double tangent, double backward) {
    static final Flops NONE = new Flops(0, 0, 0);

    /** Returns the sum of all three. */
    public double total() {
        return forward + tangent + backward;
    }

    Flops plus(Flops other) {
        return new Flops(forward + other.forward, tangent + other.tangent, backward + other.backward);
    }

    Flops times(double factor) {
        return new Flops(forward * factor, tangent * factor, backward * factor);
    }
}
