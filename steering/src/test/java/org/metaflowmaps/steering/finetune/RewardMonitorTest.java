package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.finetune.RewardMonitor.Verdict;

final class RewardMonitorTest {
    private static double factor(RewardMonitor monitor) {
        try (TensorScope scope = TensorScope.open()) {
            return monitor.factor().item();
        }
    }

    @Test
    void lowersTheStrengthAfterSomeEvaluationsBelowTheBest() {
        try (RewardMonitor monitor = new RewardMonitor(2, 0.5, Device.CPU)) {
            assertEquals(Verdict.BEST, monitor.observe(1));
            assertEquals(Verdict.CONTINUE, monitor.observe(0.5));
            assertEquals(Verdict.BEST, monitor.observe(1.5));
            assertEquals(Verdict.CONTINUE, monitor.observe(Double.NaN));
            assertEquals(1, factor(monitor));
            assertEquals(Verdict.LOWERED, monitor.observe(1.4));
            assertEquals(0.5, factor(monitor));
            assertEquals(Verdict.CONTINUE, monitor.observe(1.4));
            assertEquals(Verdict.LOWERED, monitor.observe(1.4));
            assertEquals(0.25, factor(monitor));
            assertFalse(monitor.isStopped());
        }
    }

    /** The buffer contains the whole state, so a resumed run stops at the same step. */
    @Test
    void stopsAndStaysStoppedAfterARestore() {
        try (RewardMonitor monitor = new RewardMonitor(2, 0, Device.CPU);
                RewardMonitor resumed = new RewardMonitor(2, 0, Device.CPU)) {
            monitor.observe(1);
            monitor.observe(0);
            copy(monitor, resumed);
            assertEquals(Verdict.STOP, resumed.observe(0));
            assertTrue(resumed.isStopped());
            assertFalse(monitor.isStopped());
            copy(resumed, monitor);
            assertEquals(Verdict.STOP, monitor.observe(7));
        }
    }

    private static void copy(RewardMonitor from, RewardMonitor to) {
        for (Tensor source : from.saved().buffers().values()) {
            for (Tensor target : to.saved().buffers().values()) {
                target.copy_(source);
            }
        }
    }

    @Test
    void settingsOutOfRangeAreRefused() {
        assertRefused(() -> new RewardMonitor(0, 0, Device.CPU), "patience is 0", "at least 1");
        assertRefused(() -> new RewardMonitor(1, 1, Device.CPU), "lowering is 1", "below 1");
    }
}
