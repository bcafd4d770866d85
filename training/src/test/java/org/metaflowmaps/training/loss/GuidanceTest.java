package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Close.farthest;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The fixed point of model guidance is classifier-free guidance of its scale (method §4.2a). */
final class GuidanceTest {
    private static final int ITEMS = 64;

    /** b_∅ + scale·(b_y - b_∅) for labelled items, b_∅ for others, for two one-dimensional fields. */
    private static final class Guided implements MetaFlowMap {
        private final ParameterArena arena = new ParameterArena(Map.of("unused", Shape.of(1)), Device.CPU);
        private final double scale;

        Guided(double scale) {
            this.scale = scale;
        }

        static Tensor unlabelled(Tensor state) {
            return state.sin();
        }

        static Tensor labelled(Tensor state) {
            return state.mul(0.3).cos().add(1);
        }

        @Override
        public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
            Tensor none = unlabelled(state.primal());
            Tensor guided = none.add(labelled(state.primal()).sub(none).mul(scale));
            Tensor labelled = context.condition()
                    .labels()
                    .orElseThrow()
                    .lt(1)
                    .to(DType.FLOAT32)
                    .reshape(ITEMS, 1);
            return Dual.constant(none.lerp(guided, labelled));
        }

        @Override
        public Shape itemShape() {
            return Shape.of(1);
        }

        @Override
        public int classes() {
            return 1;
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

    @Test
    void modelGuidanceRestsAtClassifierFreeGuidance() {
        double scale = 2.5;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3);
                MetaFlowMap rest = new Guided(scale);
                MetaFlowMap other = new Guided(2)) {
            Tensor noise = random.normal(ITEMS, 1);
            Tensor zeros = Torch.zeros(ITEMS);
            Tensor labels = random.integers(0, 2, ITEMS);
            Tensor labelled = labels.lt(1).to(DType.FLOAT32);
            // At s = 0 the state is the noise; the data's velocity there is b_y, or b_∅ without a label, without
            // variance.
            Tensor velocity = Guided.unlabelled(noise).lerp(Guided.labelled(noise), labelled.reshape(ITEMS, 1));
            Context context = new Context(
                    zeros,
                    Torch.zeros(ITEMS, 1),
                    Condition.labelled(labels).guided(labelled.mul(scale - 1).add(1)));
            Pair pair = new Pair(zeros, zeros, null, noise, noise.add(velocity), context);
            Regression resting = Diagonal.of(rest, pair, new Velocity.Guided(0));
            assertClose(resting.target(), resting.prediction(), 1e-5, "at rest");
            Regression moving = Diagonal.of(other, pair, new Velocity.Guided(0));
            assertTrue(
                    farthest(moving.target(), moving.prediction()) > 0.05, "any map rests, so this test shows nothing");
        }
    }
}
