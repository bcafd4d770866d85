package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** The source of a loss's velocity; the result is always detached. */
public sealed interface Velocity {
    /**
     * Returns the velocity at a pair's start and state.
     *
     * @param own the map's v(s, s, x̄) there, without a gradient graph, if the caller has it, so that it is not
     *     evaluated again; else null
     * @return (B, item shape), in the innermost open scope
     */
    Tensor atStart(MetaFlowMap map, Pair pair, @Nullable Tensor own);

    /** {@link #atStart(MetaFlowMap, Pair, Tensor)} without the map's velocity. */
    default Tensor atStart(MetaFlowMap map, Pair pair) {
        return atStart(map, pair, null);
    }

    /** A velocity that is known at every state, not only on the data's paths. */
    sealed interface Field extends Velocity {
        /**
         * Returns the velocity at a time (B) and a state (B, item shape).
         *
         * @return (B, item shape), in the innermost open scope
         */
        Tensor at(MetaFlowMap map, Tensor time, Tensor state, Context context);

        @Override
        default Tensor atStart(MetaFlowMap map, Pair pair, @Nullable Tensor own) {
            return at(map, pair.start(), pair.state(), pair.context());
        }
    }

    /** x_1 - x̄_0 of the pair's data, correct only on average (method §4.2a). */
    record Data() implements Velocity {
        @Override
        public Tensor atStart(MetaFlowMap map, Pair pair, @Nullable Tensor own) {
            return pair.velocity();
        }
    }

    /**
     * x_1 - x̄_0 + (1 - 1/w)·(v_{s,s}(x̄; y, w) - v_{s,s}(x̄; ∅, 1)): model guidance, whose fixed point is
     * classifier-free guidance of scale w (method §4.2a). The pair's context must have labels and guidance scales.
     *
     * @param from the time s from which velocities are guided, in [0, 1); before it they are those of the data
     */
    record Guided(double from) implements Velocity {
        /** Checks the range. */
        public Guided {
            Preconditions.checkArgument(from >= 0 && from < 1, "model guidance from %s, expected 0 to below 1", from);
        }

        @Override
        public Tensor atStart(MetaFlowMap map, Pair pair, @Nullable Tensor own) {
            Condition condition = pair.context().condition();
            if (condition.labels().isEmpty()) {
                throw new IllegalArgumentException("model guidance needs labels: the pair's context has none");
            }
            Tensor guidance = condition
                    .guidance()
                    .orElseThrow(() -> new IllegalArgumentException(
                            "model guidance needs guidance scales: the pair's context has none"));
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                Tensor state = pair.state();
                Condition none = Condition.unlabelled(map.classes(), state.size(0), state.device());
                Tensor guided =
                        own != null ? own : map.averageVelocity(pair.start(), pair.start(), state, pair.context());
                Tensor plain = map.averageVelocity(
                        pair.start(), pair.start(), state, pair.context().with(none));
                Tensor share = guidance.reciprocal().neg().add(1);
                if (from > 0) {
                    share = share.mul(pair.start().ge(from).to(state.dtype()));
                }
                return scope.keep(
                        pair.velocity().add(MetaFlowMap.perItem(share, state).mul(guided.sub(plain))));
            }
        }
    }

    /** The trained map's v(s, s, x̄). */
    record Own() implements Field {
        @Override
        public Tensor atStart(MetaFlowMap map, Pair pair, @Nullable Tensor own) {
            return own != null ? own : Field.super.atStart(map, pair, null);
        }

        @Override
        public Tensor at(MetaFlowMap map, Tensor time, Tensor state, Context context) {
            return diagonal(map, time, state, context);
        }
    }

    /**
     * v(s, s, x̄) of a map with averaged weights.
     *
     * @param average not owned
     */
    record Averaged(MetaFlowMap average) implements Field {
        @Override
        public Tensor at(MetaFlowMap map, Tensor time, Tensor state, Context context) {
            return diagonal(average, time, state, context);
        }
    }

    /** The conditional drift of a teacher: without variance, and correct for any law of states (method §4.2b). */
    record Taught(ConditionalDrift teacher) implements Field {
        @Override
        public Tensor at(MetaFlowMap map, Tensor time, Tensor state, Context context) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                return teacher.at(time, state, context);
            }
        }
    }

    private static Tensor diagonal(MetaFlowMap map, Tensor time, Tensor state, Context context) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return map.averageVelocity(time, time, state, context);
        }
    }
}
