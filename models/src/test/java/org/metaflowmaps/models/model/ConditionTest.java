package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class ConditionTest {
    private static final int CLASSES = 3;

    private static long[] labels(Condition condition) {
        return condition.labels().orElseThrow().toLongArray();
    }

    private static float[] scales(Condition condition) {
        return condition.guidance().orElseThrow().toFloatArray();
    }

    @Test
    void labelledItemsHaveTheScaleAndTheOthersOne() {
        try (TensorScope scope = TensorScope.open()) {
            Condition labelled = Condition.labelled(Torch.of(new long[] {0, CLASSES, 2}));
            assertTrue(labelled.guidance().isEmpty());
            assertArrayEquals(new float[] {2.5f, 1, 2.5f}, scales(labelled.guided(2.5, CLASSES)));
            // A labelled item has exactly the given scale, without rounding.
            assertEquals(1.9f, scales(labelled.guided(1.9, CLASSES))[0]);
            assertTrue(Condition.none().guided(2.5, CLASSES).guidance().isEmpty());
            assertTrue(
                    labelled.guided(2.5, CLASSES).withoutGuidance().guidance().isEmpty());
            Refusal.illegalArgument("guidance is NaN", () -> labelled.guided(Double.NaN, CLASSES));
        }
    }

    @Test
    void itemsAreCutRepeatedAndChosen() {
        try (TensorScope scope = TensorScope.open()) {
            Condition condition =
                    Condition.labelled(Torch.of(new long[] {0, 1, 2})).guided(Torch.of(new float[] {1, 2, 3}));
            Condition cut = condition.slice(1, 2);
            assertArrayEquals(new long[] {1, 2}, labels(cut));
            assertArrayEquals(new float[] {2, 3}, scales(cut));
            assertArrayEquals(new long[] {0, 0, 1, 1, 2, 2}, labels(condition.repeatInterleave(2)));
            Condition chosen = condition.indexSelect(Torch.of(new long[] {2, 0}));
            assertArrayEquals(new long[] {2, 0}, labels(chosen));
            assertArrayEquals(new float[] {3, 1}, scales(chosen));
            assertTrue(Condition.none().slice(0, 1).labels().isEmpty());
        }
    }

    @Test
    void unlabelledIsTheLastRow() {
        try (TensorScope scope = TensorScope.open()) {
            assertArrayEquals(new long[] {CLASSES, CLASSES}, labels(Condition.unlabelled(CLASSES, 2, Device.CPU)));
        }
    }

    @Test
    void ruleLeavesOnlyItsResult() {
        try (TensorScope scope = TensorScope.open()) {
            Condition labelled = Condition.labelled(Torch.of(new long[] {0, 1}));
            long before = NativeMemory.liveTensors();
            labelled.guided(2, CLASSES);
            assertEquals(before + 1, NativeMemory.liveTensors());
        }
    }

    @Test
    void mapsTellTheirScales() {
        try (MetaFlowMap guided = SmallNetworks.transformer(SmallNetworks.config());
                MetaFlowMap flow =
                        SmallNetworks.transformer(SmallNetworks.config().withoutContext());
                MetaFlowMap mlp = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 4, 1, 3))) {
            assertEquals(List.of(1.0, 2.5), guided.guidanceScales());
            assertEquals(List.of(), flow.guidanceScales());
            assertEquals(List.of(), mlp.guidanceScales());
        }
    }
}
