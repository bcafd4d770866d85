package org.metaflowmaps.steering.particle;

import java.util.Optional;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.SteeringNoise.Use;
import org.metaflowmaps.steering.value.ValueGradient;

/** The steps of {@link Transition}; their tensors are in the innermost open scope. */
final class Moves {
    private Moves() {}

    /**
     * Particles at the next time.
     *
     * @param states (rows, item shape)
     * @param logRatio log M - log Q of the step: (rows), float64; empty for 0
     */
    record Move(Tensor states, Optional<Tensor> logRatio) {}

    /**
     * Moves particles.
     *
     * @param point where they are
     * @param estimate of the potential there, for a guided transition
     * @param next the time to go to
     */
    static Move move(Transition transition, Point point, Optional<ValueGradient.Estimate> estimate, double next) {
        return switch (transition) {
            case Transition.PosteriorDraw draw -> new Move(bridged(draw.map(), point, next), Optional.empty());
            case Transition.EulerMaruyama euler -> {
                Drift drift = euler.drift();
                Tensor base = drift.at(times(point), point.state(), point.condition());
                yield diffused(point, base, Optional.empty(), euler.coefficient(), next);
            }
            case Transition.Guided guided -> {
                ValueGradient.Estimate given = estimate.orElseThrow(() -> new IllegalArgumentException(
                        "particle filter: a guided transition needs a potential with a gradient, and this one has"
                                + " none: use Potential.of(estimator, tilt) or Potential.twisted"));
                yield diffused(point, given.base(), Optional.of(given.correction()), guided.coefficient(), next);
            }
        };
    }

    private static Tensor times(Point point) {
        Tensor state = point.state();
        return Torch.full(point.time(), state.dtype(), state.device(), state.size(0));
    }

    /** Draws from the posterior, then takes the state between it and the present one (method §8.1). */
    private static Tensor bridged(MetaFlowMap map, Point point, double next) {
        Tensor times = times(point);
        Tensor noise = point.noise().normal(Use.TRANSITION, point.step());
        Tensor drawn = map.flowMap(
                Torch.zerosLike(times),
                Torch.onesLike(times),
                noise,
                Context.unchecked(times, point.state(), point.condition()));
        if (next == 1) {
            return drawn;
        }
        double rest = 1 - point.time();
        double restNext = 1 - next;
        double ratio = point.time() / next;
        // v_f of method §8.1. Its sum with (a·(1 - t'))² is (1 - t)², which gives mean and variance without a division
        // by either.
        double forward = rest * rest - ratio * ratio * restNext * restNext;
        double total = rest * rest;
        Tensor mean = drawn.mul(next * forward / total).add(point.state().mul(ratio * restNext * restNext / total));
        return mean.add(diffusion(point).mul(restNext * Math.sqrt(forward / total)));
    }

    private static Tensor diffusion(Point point) {
        return point.noise().normal(Use.DIFFUSION, point.step());
    }

    private static Move diffused(
            Point point, Tensor base, Optional<Tensor> correction, Coefficient coefficient, double next) {
        Tensor state = point.state();
        if (point.time() == 0 || next == 1) {
            Tensor denoiser = state.add(base.mul(1 - point.time()));
            return new Move(
                    next == 1
                            ? denoiser
                            : denoiser.mul(next).add(diffusion(point).mul(1 - next)),
                    Optional.empty());
        }
        double length = next - point.time();
        double spread = Math.sqrt(2 * coefficient.at(point.time()) * length);
        Tensor noise = diffusion(point);
        Tensor mean = state.add(base.mul(2).sub(state.div(point.time())).mul(length));
        Tensor free = mean.add(noise.mul(spread));
        if (correction.isEmpty()) {
            return new Move(free, Optional.empty());
        }
        // Both laws have one variance; in its units their means differ by this, and (|z|² - |z + shift|²)/2 is the
        // ratio's logarithm.
        Tensor shift =
                correction.get().mul(2 * length / spread).to(DType.FLOAT64).reshape(state.size(0), -1);
        Tensor wide = noise.to(DType.FLOAT64).reshape(state.size(0), -1);
        Tensor ratio =
                shift.mul(wide).sum(1).add(shift.square().sum(1).mul(0.5)).neg();
        return new Move(free.add(correction.get().mul(2 * length)), Optional.of(ratio));
    }
}
