package org.metaflowmaps.steering.finetune;

import java.util.List;
import java.util.Map;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
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
import org.metaflowmaps.steering.reward.Reward;

/**
 * One state of a mixture in one dimension: components ±1.5 of variance 0.25, t = 0.4, x = 0.1, r = -(z - 1)²/0.5. It
 * has exact posterior draws with their derivatives by x, and a student with one parameter.
 */
final class OneStateCase implements AutoCloseable {
    static final double TIME = 0.4;
    static final double STATE = 0.1;
    static final double BASE = 0.210;
    static final double TILTED = 1.822;
    private static final double[] CENTRES = {-1.5, 1.5};
    private static final double VARIANCE = 0.25;
    private static final int HALVINGS = 60;
    private static final double GOLDEN = 0.6180339887498949;

    /** Posterior draws z and dz/dx, both (n, 1) float32. */
    private final Tensor draws;

    private final Tensor slopes;
    private int current;
    private int next;

    /**
     * Makes draws at the quantiles frac(i·0.618…). Any consecutive ones cover (0, 1) evenly, so means over few are
     * almost exact.
     *
     * @param count n
     */
    OneStateCase(int count) {
        double[] levels = new double[count];
        for (int i = 0; i < count; i++) {
            levels[i] = (i + 0.5) * GOLDEN % 1;
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor level = Torch.of(levels, count, 1);
            Tensor at = Torch.full(STATE, DType.FLOAT64, Device.CPU, count, 1).requiresGrad_(true);
            Tensor low = Torch.full(-6, DType.FLOAT64, Device.CPU, count, 1);
            Tensor high = Torch.full(6, DType.FLOAT64, Device.CPU, count, 1);
            try (Autograd.Mode off = Autograd.noGrad()) {
                for (int i = 0; i < HALVINGS; i++) {
                    Tensor middle = low.add(high).mul(0.5);
                    Tensor below = distribution(middle, at).lt(level);
                    low = Torch.where(below, middle, low);
                    high = Torch.where(below, high, middle);
                }
            }
            // Take one Newton step with the graph of F in x: its derivative is the quantile's.
            Tensor z = low.requiresGrad_(true);
            Tensor density = Autograd.gradients(distribution(z, at.detach()).sum(), List.of(z))
                    .getFirst();
            Tensor moved =
                    z.detach().sub(distribution(z.detach(), at).sub(level).div(density));
            Tensor slope = Autograd.gradients(moved.sum(), List.of(at)).getFirst();
            draws = moved.detach().to(DType.FLOAT32).retain();
            slopes = slope.to(DType.FLOAT32).retain();
        }
    }

    /** F(z; x), the posterior's distribution function. */
    private static Tensor distribution(Tensor z, Tensor x) {
        double seen = (1 - TIME) * (1 - TIME) + TIME * TIME * VARIANCE;
        double deviation = Math.sqrt(VARIANCE * (1 - TIME) * (1 - TIME) / seen);
        Tensor[] logs = new Tensor[CENTRES.length];
        Tensor[] shares = new Tensor[CENTRES.length];
        for (int k = 0; k < CENTRES.length; k++) {
            Tensor apart = x.sub(TIME * CENTRES[k]);
            logs[k] = apart.square().mul(-0.5 / seen);
            Tensor mean = apart.mul(TIME * VARIANCE / seen).add(CENTRES[k]);
            shares[k] = z.sub(mean).mul(-Math.sqrt(0.5) / deviation).erfc().mul(0.5);
        }
        return Torch.stack(0, logs).softmax(0).mul(Torch.stack(0, shares)).sum(0);
    }

    /** Returns the draws for a batch, in the innermost open scope; the map returns these until the next call. */
    Tensor next(long batch) {
        current = next;
        next += (int) batch;
        return draws.narrow(0, current, batch);
    }

    /**
     * Returns a batch at the state. The data are posterior draws, as the reward-weighted form needs, and the noise is
     * chosen to give this state.
     */
    FineTuneDraw draw(long batch, long step) {
        Tensor data = next(batch);
        Tensor noise = data.mul(-TIME).add(STATE).div(1 - TIME);
        Tensor time = Torch.full(TIME, DType.FLOAT32, Device.CPU, batch);
        return new FineTuneDraw(
                step, time, noise, data, Torch.zerosLike(noise), Condition.none(), Condition.none(), null);
    }

    /** Continues from the draw with this number. */
    void restart(int from) {
        next = from;
    }

    /** Returns the exact base drift at the state. */
    Drift base() {
        double seen = (1 - TIME) * (1 - TIME) + TIME * TIME * VARIANCE;
        double total = 0;
        double sum = 0;
        for (double centre : CENTRES) {
            double apart = STATE - TIME * centre;
            double share = Math.exp(-0.5 * apart * apart / seen);
            total += share;
            sum += share * (centre + TIME * VARIANCE / seen * apart);
        }
        double mean = sum / total;
        return (time, state, condition) -> Torch.onesLike(state).mul((mean - STATE) / (1 - TIME));
    }

    /** Returns a map whose posterior draws are the next ones, for any noise and context time. */
    MetaFlowMap map() {
        return new OneNumber() {
            @Override
            public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
                long batch = state.primal().size(0);
                Tensor x = context.state();
                Tensor drawn = draws.narrow(0, current, batch)
                        .add(slopes.narrow(0, current, batch).mul(x.sub(x.detach())));
                return Dual.constant(drawn.sub(state.primal()));
            }
        };
    }

    /** r = -(z - 1)²/0.5 + constant. */
    static Reward reward(double constant) {
        return new Reward() {
            @Override
            public String name() {
                return "near one";
            }

            @Override
            public Tensor score(Tensor samples, Condition condition) {
                return samples.sub(1).square().mul(-2).add(constant).reshape(samples.size(0));
            }

            @Override
            public boolean takesStates() {
                return true;
            }
        };
    }

    /** A map with one parameter v, equal for all inputs. */
    static class OneNumber implements MetaFlowMap {
        private final ParameterArena arena = new ParameterArena(Map.of("v", Shape.of(1)), Device.CPU);

        Tensor v() {
            return arena.get("v");
        }

        @Override
        public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
            return Dual.constant(v().expand(state.primal().shape()));
        }

        @Override
        public Shape itemShape() {
            return Shape.of(1);
        }

        @Override
        public int classes() {
            return 0;
        }

        @Override
        public ParameterArena parameters() {
            return arena;
        }

        @Override
        public void close() {
            arena.close();
        }
    }

    @Override
    public void close() {
        draws.close();
        slopes.close();
    }
}
