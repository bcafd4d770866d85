package org.metaflowmaps.steering;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The exact meta flow map of independent Gaussian data N(m_i, S_i²).
 *
 * <p>Given x_t = (1 - t)·x_0 + t·x_1 the data is Gaussian with mean μ = ((1 - t)²·m + t·S²·x_t) / D and variance
 * τ² = S²·(1 - t)² / D, where D = (1 - t)² + t²·S². The path to N(μ, τ²) has the law N(sμ, σ_s²), σ_s² = (1 - s)² + s²τ², at time
 * s, and its flow keeps the number of standard deviations: X(s, u, x̄) = uμ + (σ_u / σ_s)·(x̄ - sμ). Results have the context state's
 * type, and gradients flow into states.
 */
public final class GaussianMap implements MetaFlowMap {
    public static final double[] MEAN = {1.5, -0.5};
    public static final double[] DEVIATION = {0.6, 1.4};
    static final int CLASSES = 4;

    /** The contexts' times and labels, call by call. */
    final List<float[]> times = new ArrayList<>();

    final List<long[]> labels = new ArrayList<>();

    private final ParameterArena none = new ParameterArena(Map.of("unused", Shape.of(1)), Device.CPU);

    /** Mean of the posterior of coordinate i at x_t. */
    public static double posteriorMean(int i, double time, double state) {
        double variance = DEVIATION[i] * DEVIATION[i];
        return ((1 - time) * (1 - time) * MEAN[i] + time * variance * state)
                / ((1 - time) * (1 - time) + time * time * variance);
    }

    /** Standard deviation of the posterior of coordinate i. */
    public static double posteriorDeviation(int i, double time) {
        return DEVIATION[i]
                * (1 - time)
                / Math.sqrt((1 - time) * (1 - time) + time * time * DEVIATION[i] * DEVIATION[i]);
    }

    @Override
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        times.add(context.time().toFloatArray());
        Tensor given = context.condition().labels().orElse(null);
        labels.add(given == null ? new long[0] : given.toLongArray());
        try (TensorScope scope = TensorScope.open()) {
            Tensor t = context.time().unsqueeze(1);
            Tensor s = start.primal().unsqueeze(1);
            Tensor u = end.primal().unsqueeze(1);
            DType type = context.state().dtype();
            Tensor mean = Torch.of(MEAN, 1, 2).to(type);
            Tensor variance = Torch.of(DEVIATION, 1, 2).to(type).square();
            Tensor noise = t.neg().add(1).square();
            Tensor denominator = noise.add(t.square().mul(variance));
            Tensor posterior =
                    noise.mul(mean).add(t.mul(variance).mul(context.state())).div(denominator);
            Tensor spread = variance.mul(noise).div(denominator);
            Tensor sigmaS = sigma(s, spread);
            Tensor sigmaU = sigma(u, spread);
            // (σ_u - σ_s) / (u - s), written so that it needs no division by u - s.
            Tensor slope = u.add(s).mul(spread.add(1)).sub(2).div(sigmaU.add(sigmaS));
            Tensor velocity = posterior.add(slope.div(sigmaS).mul(state.primal().sub(s.mul(posterior))));
            return Dual.constant(scope.keep(velocity));
        }
    }

    private static Tensor sigma(Tensor time, Tensor spread) {
        return time.neg().add(1).square().add(time.square().mul(spread)).sqrt();
    }

    static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }

    @Override
    public Shape itemShape() {
        return Shape.of(2);
    }

    @Override
    public int classes() {
        return CLASSES;
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
