package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Draw;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.optim.MovingAverage;

/** A draw can be computed in parts. */
final class DrawTest {
    private static final int ITEMS = 16;
    private static final ConditionalDrift TEACHER =
            (start, state, context) -> state.neg().add(context.state());

    private final RandomSource random = RandomSource.seeded(8);
    private final MetaFlowMap map = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 1, 3));
    private final MovingAverage average = new MovingAverage(map.parameters(), 0.9, 0);
    private final MetaFlowMap averaged = map.boundTo(average.values());
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void close() {
        scope.close();
        averaged.close();
        average.close();
        map.close();
        random.close();
    }

    private FlowMapObjective objective(LossConfig.ConsistencyKind consistency, WeightingConfig.Kind weighting) {
        Runs runs = new Runs();
        runs.consistency = consistency;
        runs.weighting = weighting;
        runs.alphaTo = 10;
        runs.consistencyShare = 0.5;
        runs.teacher = TeacherConfig.builder().kind(TeacherConfig.Kind.GIVEN).build();
        return new FlowMapObjective(runs.config(), map, averaged, TEACHER, random);
    }

    private Draw draw(FlowMapObjective objective) {
        TrainingData.Batch batch =
                new TrainingData.Batch(random.normal(ITEMS, 2), random.integers(0, 3, ITEMS), random.uniform(ITEMS));
        return objective.draw(batch, 5);
    }

    /** Adds the gradients of a draw's losses, each times its share of the whole draw's items. */
    private static void add(FlowMapObjective objective, Draw part, Draw whole) {
        for (Loss loss : objective.losses(part)) {
            boolean diagonal = loss.name().equals(FlowMapObjective.DIAGONAL);
            long items = diagonal
                    ? part.items()
                    : Objects.requireNonNull(part.jump()).items();
            long all = diagonal
                    ? whole.items()
                    : Objects.requireNonNull(whole.jump()).items();
            Autograd.backward(loss.compute().get().loss().mul((double) items / all));
        }
    }

    private static void partsAddUp(FlowMapObjective objective, Draw draw) {
        objective.parameters().forEach(arena -> arena.gradients().zero_());
        add(objective, draw, draw);
        Tensor[] whole = objective.parameters().stream()
                .map(arena -> arena.gradients().clone())
                .toArray(Tensor[]::new);
        objective.parameters().forEach(arena -> arena.gradients().zero_());
        for (int[] part : new int[][] {{0, 1}, {1, 7}, {7, 16}}) {
            add(objective, draw.slice(part[0], part[1]), draw);
        }
        for (int i = 0; i < whole.length; i++) {
            ParameterArena arena = objective.parameters().get(i);
            double size = whole[i].norm().item();
            assertTrue(size > 1e-3, "the gradient is " + size);
            assertEquals(0, arena.gradients().sub(whole[i]).norm().item() / size, 1e-6, "arena " + i);
        }
    }

    @ParameterizedTest
    @EnumSource(LossConfig.ConsistencyKind.class)
    void gradientsOfPartsAddUpToThatOfTheWhole(LossConfig.ConsistencyKind consistency) {
        try (FlowMapObjective objective = objective(consistency, WeightingConfig.Kind.L2)) {
            partsAddUp(objective, draw(objective));
        }
    }

    @ParameterizedTest
    @EnumSource(WeightingConfig.Kind.class)
    void theyDoUnderEveryWeighting(WeightingConfig.Kind weighting) {
        try (FlowMapObjective objective = objective(LossConfig.ConsistencyKind.EULERIAN, weighting)) {
            partsAddUp(objective, draw(objective));
        }
    }

    @Test
    void aPartHasItsItemsAndItsShareOfTheJumps() {
        try (FlowMapObjective objective = objective(LossConfig.ConsistencyKind.PSD, WeightingConfig.Kind.L2)) {
            Draw draw = draw(objective);
            Pair jump = Objects.requireNonNull(draw.jump());
            assertEquals(8, jump.items());
            assertNull(draw.slice(0, 1).jump());
            Draw part = draw.slice(3, 8);
            Pair jumps = part.jump();
            assertNotNull(jumps);
            assertEquals(3, jumps.items());
            assertArrayEquals(
                    jump.state().narrow(0, 1, 3).toFloatArray(), jumps.state().toFloatArray());
            assertArrayEquals(
                    jump.length().narrow(0, 1, 3).toFloatArray(), jumps.length().toFloatArray());
            assertArrayEquals(
                    draw.diagonal().context().state().narrow(0, 3, 5).toFloatArray(),
                    part.diagonal().context().state().toFloatArray());
            assertRefused(() -> draw.slice(3, 3), "items 3 to 3", "at least one of its 16");
            assertRefused(() -> draw.slice(0, 17), "items 0 to 17");
        }
    }
}
