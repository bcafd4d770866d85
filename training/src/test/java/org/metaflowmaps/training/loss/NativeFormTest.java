package org.metaflowmaps.training.loss;

import static org.metaflowmaps.runtime.Close.assertClose;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.metaflowmaps.models.layer.ForwardMode;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The losses in their papers' notation (method §11): noise at time 1, velocities from data to noise, derivatives by
 * libtorch. Times and signs are converted only here, at the network.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class NativeFormTest {
    private static final double ROUNDING = 5e-5;

    private final MetaFlowMap map = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 2, 3));
    private final MetaFlowMap average = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 2, 3));

    @AfterAll
    void close() {
        map.close();
        average.close();
    }

    /** An example in the papers' notation: z = (1-t)·x + t·e, r before t. */
    private record Native(Example at, Tensor t, Tensor r, Tensor z, Tensor v) {
        static Native of(MetaFlowMap map, long seed) {
            Example at = Example.random(map, seed);
            Tensor t = Torch.onesLike(at.start()).sub(at.start());
            Tensor r = Torch.onesLike(at.end()).sub(at.end());
            Tensor z = at.data()
                    .mul(at.wide(Torch.onesLike(t).sub(t)))
                    .add(at.noise().mul(at.wide(t)));
            return new Native(at, t, r, z, at.noise().sub(at.data()));
        }

        /** u(z, t, r): average velocity over [r, t], from data to noise. */
        Tensor u(MetaFlowMap map, Tensor z, Tensor t, Tensor r) {
            return at.velocity(map, t.neg().add(1), r.neg().add(1), z).neg();
        }

        /** t - r, shaped to multiply items. */
        Tensor length() {
            return at.wide(t.sub(r));
        }

        /** du/dt: the derivative of u along (direction, 1, 0) in (z, t, r). */
        Tensor rate(MetaFlowMap map, Tensor direction) {
            try (ForwardMode forward = new ForwardMode()) {
                return forward.tangent(u(map, forward.dual(z, direction), forward.dual(t, Torch.onesLike(t)), r))
                        .detach();
            }
        }
    }

    private static void assertNative(Tensor prediction, Tensor target, Regression actual, String what) {
        assertClose(prediction.neg(), actual.prediction(), ROUNDING, what + ": prediction");
        assertClose(target.neg(), actual.target(), ROUNDING, what + ": target");
    }

    @Test
    void meanFlow() {
        try (TensorScope scope = TensorScope.open()) {
            Native in = Native.of(map, 1);
            Tensor target = in.v.sub(in.length().mul(in.rate(map, in.v)));
            assertNative(
                    in.u(map, in.z, in.t, in.r),
                    target,
                    new Eulerian(new Velocity.Data()).of(map, in.at.pair()),
                    "mean flow");
        }
    }

    /** v_g = ω·v + (1-ω-κ)·u_∅ + κ·u_y with ω = 1, κ = 1 - 1/w, for the items with labels. */
    @Test
    void meanFlowWithGuidance() {
        try (TensorScope scope = TensorScope.open()) {
            Native in = Native.of(map, 2);
            Condition none = Condition.labelled(Torch.of(new long[] {3, 3, 3}));
            Tensor kappa = in.at.wide(in.at.context()
                    .condition()
                    .guidance()
                    .orElseThrow()
                    .reciprocal()
                    .neg()
                    .add(1));
            Tensor unlabelled = map.averageVelocity(
                            in.at.start(), in.at.start(), in.z, in.at.context().with(none))
                    .neg();
            Tensor guided = in.v.sub(kappa.mul(unlabelled))
                    .add(kappa.mul(in.u(map, in.z, in.t, in.t)))
                    .detach();
            Tensor target = guided.sub(in.length().mul(in.rate(map, guided)));
            assertNative(
                    in.u(map, in.z, in.t, in.r),
                    target,
                    new Eulerian(new Velocity.Guided(0)).of(map, in.at.pair()),
                    "guided mean flow");
        }
    }

    @Test
    void improvedMeanFlow() {
        try (TensorScope scope = TensorScope.open()) {
            Native in = Native.of(map, 3);
            Tensor predicted = in.u(map, in.z, in.t, in.t).detach();
            Tensor compound = in.u(map, in.z, in.t, in.r).add(in.length().mul(in.rate(map, predicted)));
            assertNative(
                    compound,
                    in.v,
                    new ImprovedMeanFlow(new Velocity.Data()).of(map, in.at.pair()),
                    "improved mean flow");
        }
    }

    /** f(z, t, r) = (r-t)·F(z, t, r): its derivative in r against the average's velocity at (z + f, r). */
    @Test
    void terminalVelocityMatching() {
        try (TensorScope scope = TensorScope.open()) {
            Native example = Native.of(map, 4);
            Example plain = new Example(
                    example.at.start(),
                    example.at.end(),
                    example.at.fraction(),
                    example.at.noise(),
                    example.at.data(),
                    example.at.context().with(example.at.context().condition().withoutGuidance()));
            Native in = new Native(plain, example.t, example.r, example.z, example.v);
            Tensor end;
            try (ForwardMode forward = new ForwardMode()) {
                Tensor r = forward.dual(in.r, Torch.onesLike(in.r));
                end = forward.tangent(in.at.wide(r.sub(in.t)).mul(in.u(map, in.z, in.t, r)));
            }
            Tensor there =
                    in.z.sub(in.length().mul(in.u(map, in.z, in.t, in.r))).detach();
            assertNative(
                    end,
                    in.u(average, there, in.r, in.r),
                    new TerminalVelocity(average).of(map, in.at.pair()),
                    "terminal velocity");
        }
    }
}
