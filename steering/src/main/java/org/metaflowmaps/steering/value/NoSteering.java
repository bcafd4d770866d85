package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Only the base drift, with correction 0.
 *
 * @param drift b
 */
public record NoSteering(Drift drift) implements ValueGradient {
    /** Checks the drift. */
    public NoSteering {
        Preconditions.checkNotNull(drift, "no steering: the drift is null");
    }

    @Override
    public Estimate at(Point point) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor base = scope.keep(base(drift, point));
            return new Estimate(base, scope.keep(Torch.zerosLike(base)), Optional.empty());
        }
    }

    @Override
    public long evaluations(Condition condition) {
        return drift.evaluations(condition);
    }

    /** Returns b_t(x) without gradient. */
    static Tensor base(Drift drift, Point point) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return scope.keep(drift.at(point.times(point.rows()), point.state(), point.condition()));
        }
    }
}
