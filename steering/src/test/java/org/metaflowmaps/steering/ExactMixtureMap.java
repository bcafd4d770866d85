package org.metaflowmaps.steering;

import java.util.Map;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The exact one-step meta flow map of a two-dimensional mixture of equal weights, with one variance in all directions
 * and means on the line x = y. Draws are differentiable in the context's state.
 *
 * <p>In coordinates along and across that line a posterior is the product of a mixture in one dimension and a Gaussian,
 * all of variance τ² = v(1-t)²/D, D = (1-t)² + t²v, and so is the flow to it. Along the line the draw z of noise ε
 * solves F(z; x) = Φ(ε), where F is the posterior's distribution function. One more Newton step, with its slope held
 * constant, gives z the implicit derivative -F_x/F_z.
 */
public final class ExactMixtureMap implements MetaFlowMap {
    /** Component means along the line (x, x). */
    private static final double[] MEANS = {-3, 0, 3};

    private static final double ROOT_HALF = Math.sqrt(0.5);
    private static final int MOST_STEPS = 60;
    /** Newton's method squares the error, so the next step's error is below the last digit. */
    private static final double CLOSE = 1e-7;
    /** A component with a smaller share does not affect any quantile reached by normal numbers. */
    private static final double ABSENT = 1e-18;

    private final double[] means;
    private final double variance;
    private final ParameterArena none = new ParameterArena(Map.of("unused", Shape.of(1)), Device.CPU);

    /**
     * Makes a map on the CPU.
     *
     * @param means m of the components with centre (m, m)
     * @param variance v, above 0
     */
    public ExactMixtureMap(double[] means, double variance) {
        this.means = means.clone();
        this.variance = variance;
    }

    /** Returns the coordinates of the component means along the line (x, x). */
    public static double[] means() {
        return MEANS.clone();
    }

    /** Three components of equal weight on the line (x, x), with covariance 0.5·I. */
    public ExactMixtureMap() {
        this(MEANS, 0.5);
    }

    /**
     * A posterior along the line, in units of τ·√2: shares and centres of its components, (B, K).
     */
    private record Law(Tensor shares, Tensor centres) {
        /** {@code P(Y > y)} where side is 1, {@code P(Y < y)} where it is -1: (B). */
        Tensor tail(Tensor side, Tensor y) {
            return shares.mul(side.unsqueeze(1).mul(y.unsqueeze(1).sub(centres)).erfc())
                    .sum(1)
                    .mul(0.5);
        }

        Tensor density(Tensor y) {
            return shares.mul(y.unsqueeze(1).sub(centres).square().neg().exp())
                    .sum(1)
                    .mul(1 / Math.sqrt(Math.PI))
                    .clampMin(1e-300);
        }
    }

    /** Coordinates (x + y)/√2 along, or (y - x)/√2 across, the line. */
    private static Tensor along(Tensor state, int sign) {
        return state.select(1, 1).add(state.select(1, 0).mul(sign)).mul(ROOT_HALF);
    }

    @Override
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        if (start.primal().amax(0).item() != 0
                || end.primal().sub(1).abs().amax(0).item() != 0) {
            throw new IllegalArgumentException("exact mixture map: only one-step draws, s = 0 and u = 1");
        }
        if (state.tangent() != null || context.dualState().tangent() != null) {
            throw new IllegalArgumentException("exact mixture map: no tangents");
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor draws = draws(
                    context.time().to(DType.FLOAT64),
                    context.state().to(DType.FLOAT64),
                    state.primal().to(DType.FLOAT64));
            return Dual.constant(scope.keep(draws.to(state.primal().dtype()).sub(state.primal())));
        }
    }

    private Tensor draws(Tensor time, Tensor state, Tensor noise) {
        Tensor rest = time.neg().add(1);
        Tensor seen = rest.square().add(time.square().mul(variance));
        Tensor gain = time.mul(variance).div(seen);
        Tensor deviation = rest.mul(Math.sqrt(variance)).div(seen.sqrt());
        Tensor across = gain.mul(along(state, -1)).add(deviation.mul(along(noise, -1)));
        double[] onLine = new double[means.length];
        for (int k = 0; k < onLine.length; k++) {
            onLine[k] = means[k] / ROOT_HALF;
        }
        Tensor lines = Torch.of(onLine, 1, onLine.length);
        Tensor offset = along(state, 1).unsqueeze(1).sub(time.unsqueeze(1).mul(lines));
        Tensor unit = deviation.mul(Math.sqrt(2));
        Law law = new Law(
                offset.square().div(seen.unsqueeze(1)).mul(-0.5).softmax(1),
                lines.add(gain.unsqueeze(1).mul(offset)).div(unit.unsqueeze(1)));
        Tensor z = quantile(law, along(noise, 1).mul(ROOT_HALF)).mul(unit);
        return Torch.stack(1, z.sub(across), z.add(across)).mul(ROOT_HALF);
    }

    /** Returns the law's quantiles at the levels of N(0, ½) at some numbers. */
    private static Tensor quantile(Law law, Tensor noise) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor one = Torch.onesLike(noise);
            // The smaller tail keeps all its digits.
            Tensor side = Torch.where(noise.gt(0), one, one.neg());
            Tensor level = side.mul(noise).erfc().mul(0.5);
            Tensor y;
            Tensor slope;
            try (Autograd.Mode off = Autograd.noGrad()) {
                Law plain = new Law(law.shares().detach(), law.centres().detach());
                double[] solved = noise.toDoubleArray();
                solve(plain.shares().toDoubleArray(), plain.centres().toDoubleArray(), solved);
                y = Torch.of(solved, solved.length);
                slope = side.div(plain.density(y));
            }
            return scope.keep(y.add(law.tail(side, y).sub(level).mul(slope)));
        }
    }

    /**
     * Replaces numbers by the law's quantiles, to about 1e-8, by Newton's method in a bracket: each quantile is between
     * those of the outermost components. One item after the other, because most need few steps.
     */
    private static void solve(double[] shares, double[] centres, double[] numbers) {
        int count = shares.length / numbers.length;
        for (int i = 0; i < numbers.length; i++) {
            double side = numbers[i] > 0 ? 1 : -1;
            double level = 0.5 * Erfc.at(side * numbers[i]);
            double low = Double.POSITIVE_INFINITY;
            double high = Double.NEGATIVE_INFINITY;
            for (int k = i * count; k < (i + 1) * count; k++) {
                if (shares[k] > ABSENT) {
                    low = Math.min(low, centres[k] + numbers[i]);
                    high = Math.max(high, centres[k] + numbers[i]);
                }
            }
            double y = 0.5 * (low + high);
            for (int step = 0; step < MOST_STEPS && high - low > CLOSE; step++) {
                double excess = -level;
                double density = 0;
                for (int k = i * count; k < (i + 1) * count; k++) {
                    if (shares[k] > ABSENT) {
                        double apart = side * (y - centres[k]);
                        excess += 0.5 * shares[k] * Erfc.at(apart);
                        density -= 0.5 * shares[k] * Erfc.slope(apart);
                    }
                }
                if (side * excess > 0) {
                    low = y;
                } else {
                    high = y;
                }
                double next = y + side * excess / density;
                if (!(next > low && next < high)) {
                    next = 0.5 * (low + high);
                }
                double moved = Math.abs(next - y);
                y = next;
                if (moved < CLOSE) {
                    break;
                }
            }
            numbers[i] = y;
        }
    }

    /** erfc by cubic interpolation in a table, to about 1e-11, and its derivative. */
    private static final class Erfc {
        private static final int REACH = 7;
        private static final int PER_UNIT = 256;
        private static final double[] VALUES;
        private static final double[] SLOPES = new double[2 * REACH * PER_UNIT + 1];

        static {
            try (TensorScope scope = TensorScope.open()) {
                VALUES = Torch.arange(SLOPES.length)
                        .to(DType.FLOAT64)
                        .div(PER_UNIT)
                        .sub(REACH)
                        .erfc()
                        .toDoubleArray();
            }
            for (int i = 0; i < SLOPES.length; i++) {
                SLOPES[i] = slope((double) i / PER_UNIT - REACH);
            }
        }

        static double at(double x) {
            double place = (x + REACH) * PER_UNIT;
            if (!(place > 0)) {
                return 2;
            }
            int i = (int) place;
            if (i >= SLOPES.length - 1) {
                return 0;
            }
            double f = place - i;
            double change = VALUES[i + 1] - VALUES[i];
            double first = SLOPES[i] / PER_UNIT - change;
            double second = change - SLOPES[i + 1] / PER_UNIT;
            return VALUES[i] + f * change + f * (1 - f) * ((1 - f) * first + f * second);
        }

        static double slope(double x) {
            return -2 / Math.sqrt(Math.PI) * Math.exp(-x * x);
        }
    }

    @Override
    public Shape itemShape() {
        return Shape.of(2);
    }

    @Override
    public int classes() {
        return 0;
    }

    @Override
    public ParameterArena parameters() {
        return none;
    }

    @Override
    public void close() {
        none.close();
    }
}
