package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ParameterArenaTest {
    private static Map<String, Shape> shapes() {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        shapes.put("weight", Shape.of(3, 5));
        shapes.put("scale", Shape.of());
        shapes.put("bias", Shape.of(70));
        return shapes;
    }

    @Test
    void parametersAreViewsOfOneBuffer() {
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            assertEquals(15 + 1 + 70, arena.count());
            assertEquals(
                    List.of("weight", "scale", "bias"),
                    List.copyOf(arena.parameters().keySet()));
            assertEquals(0, arena.values().abs().max().item());
            arena.values().copy_(Torch.arange(arena.values().numel()));
            long previousEnd = 0;
            for (Map.Entry<String, Shape> entry : shapes().entrySet()) {
                Tensor parameter = arena.get(entry.getKey());
                double[] values = parameter.toDoubleArray();
                assertEquals(entry.getValue(), parameter.shape());
                assertTrue(parameter.requiresGrad());
                // The buffer holds its own indices, so a parameter's values show its position: aligned, in order,
                // without gaps inside.
                assertEquals(0, values[0] % 64);
                assertTrue(values[0] >= previousEnd);
                for (int i = 0; i < values.length; i++) {
                    assertEquals(values[0] + i, values[i]);
                }
                previousEnd = (long) values[0] + values.length;
            }
            arena.get("scale").fill_(-1);
            assertEquals(1, arena.values().eq(-1).to(DType.INT64).sum().item());
        }
    }

    @Test
    void backwardAddsIntoTheGradientBuffer() {
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor factor = Torch.arange(15).to(DType.FLOAT32).add(1).reshape(3, 5);
            for (int time = 1; time <= 2; time++) {
                Autograd.backward(arena.get("weight")
                        .mul(factor)
                        .sum()
                        .add(arena.get("scale").mul(3)));
                assertArrayEquals(
                        factor.mul(time).toDoubleArray(),
                        arena.view("weight", arena.gradients()).toDoubleArray());
                assertEquals(3.0 * time, arena.view("scale", arena.gradients()).item());
                assertEquals(time * (120.0 + 3), arena.gradients().sum().item());
            }
            arena.gradients().zero_();
            Autograd.backward(arena.get("bias").sum());
            assertEquals(70, arena.gradients().sum().item());
            assertEquals(0, arena.view("weight", arena.gradients()).abs().sum().item());
        }
    }

    @Test
    void gradientsTakeMemoryOnlyWhenTheyAreAskedForAndKeepWhatCameBefore() {
        long bytes = NativeMemory.liveBytes();
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU)) {
            long parameters = 4 * arena.count();
            long buffer = 4 * arena.values().numel();
            assertEquals(bytes + parameters + buffer, NativeMemory.liveBytes());
            try (TensorScope scope = TensorScope.open()) {
                Autograd.backward(arena.get("bias").mul(2).sum());
                assertEquals(140, arena.gradients().sum().item());
                Autograd.backward(arena.get("bias").sum().add(arena.get("scale")));
                assertEquals(210 + 1, arena.gradients().sum().item());
                assertEquals(1, arena.view("scale", arena.gradients()).item());
            }
            assertEquals(bytes + parameters + 2 * buffer, NativeMemory.liveBytes());
        }
        assertEquals(bytes, NativeMemory.liveBytes());
    }

    @Test
    void viewFindsAParametersPlaceInAnotherBuffer() {
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor moments = Torch.zerosLike(arena.values());
            arena.view("bias", moments).fill_(2);
            assertEquals(140, moments.sum().item());
            try (Autograd.Mode off = Autograd.noGrad()) {
                arena.values().copy_(moments);
                assertEquals(140, arena.get("bias").sum().item());
            }
            illegalArgument("does not have this arena's layout", () -> arena.view("bias", Torch.zeros(3)));
            illegalArgument(
                    "no parameter is named 'wait'; there are 3, such as [weight, scale, bias]",
                    () -> arena.get("wait"));
        }
    }

    @Test
    void noScopeFreesAnArenaAndClosingItFreesAll() {
        long tensors = NativeMemory.liveTensors();
        long bytes = NativeMemory.liveBytes();
        ParameterArena arena;
        try (TensorScope scope = TensorScope.open()) {
            arena = new ParameterArena(shapes(), Device.CPU);
            assertEquals(0, scope.size());
        }
        Tensor weight = arena.get("weight");
        assertFalse(weight.isFreed());
        arena.close();
        arena.close();
        illegalState("this tensor was freed", weight::shape);
        assertEquals(tensors, NativeMemory.liveTensors());
        assertEquals(bytes, NativeMemory.liveBytes());
    }

    @Test
    void anArenaThatCannotBeMadeLeavesNothing() {
        long tensors = NativeMemory.liveTensors();
        Map<String, Shape> shapes = shapes();
        shapes.put("huge", Shape.of(1L << 59));
        Refusal.refused(RuntimeException.class, "", () -> new ParameterArena(shapes, Device.CPU).close());
        illegalState("no TensorScope is open", TensorScope::innermost);
        assertTrue(Autograd.isRecording());
        assertEquals(tensors, NativeMemory.liveTensors());
    }

    private static void set(ParameterArena arena, double value) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            arena.values().fill_(value);
        }
    }

    private static ParameterArena narrowed(ParameterArena arena) {
        ParameterArena copy = arena.narrowed();
        assertNotNull(copy);
        return copy;
    }

    @Test
    void aBfloat16CopyIsMadeOnceAndUsedUntilTheValuesMayChange() {
        long before = NativeMemory.liveTensors();
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertNull(arena.narrowed());
            arena.widen();
            set(arena, 1.001);
            arena.narrow();
            ParameterArena copy = narrowed(arena);
            assertEquals(DType.BFLOAT16, copy.values().dtype());
            assertEquals(arena.parameters().keySet(), copy.parameters().keySet());
            assertEquals(Shape.of(3, 5), copy.get("weight").shape());
            assertEquals(1, copy.get("weight").max().item());
            set(arena, 2);
            assertEquals(1, copy.get("weight").max().item(), "changes are seen by the next call only");
            arena.widen();
            assertNull(arena.narrowed());
            arena.narrow();
            assertSame(copy, narrowed(arena), "its memory is used again");
            assertEquals(2, copy.get("weight").min().item());
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void gradientsOfTheCopyAreAddedInFloat32() {
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            arena.narrow();
            Tensor weight = narrowed(arena).get("weight");
            // In bfloat16 the sum of 256 and 1 is 256.
            for (double factor : new double[] {256, 1}) {
                Autograd.backward(weight.mul(factor).sum());
                arena.addNarrowedGradients();
            }
            assertEquals(257, arena.gradient("weight").min().item());
            arena.addNarrowedGradients();
            assertEquals(257, arena.gradient("weight").max().item(), "added once");
            assertEquals(0, arena.gradient("bias").abs().max().item());
            Autograd.backward(weight.sum());
            arena.widen();
            assertEquals(258, arena.gradient("weight").max().item());
        }
    }

    @Test
    void replicasShareTheCopyAndHaveTheirOwnGradients() {
        try (ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                ParameterArena replica = arena.replica();
                ParameterArena second = replica.replica();
                TensorScope scope = TensorScope.open()) {
            assertNull(replica.narrowed());
            set(arena, 3);
            arena.narrow();
            assertEquals(3, narrowed(second).get("bias").max().item());
            Autograd.backward(narrowed(replica).get("bias").sum());
            arena.addNarrowedGradients();
            replica.addNarrowedGradients();
            second.addNarrowedGradients();
            assertEquals(70, replica.gradients().sum().item());
            assertEquals(0, arena.gradients().sum().item());
            assertEquals(0, second.gradients().sum().item());
            arena.widen();
            assertNull(second.narrowed());
            illegalState("these parameters are a replica", replica::narrow);
        }
    }

    @Test
    void onlyFloat32HasABfloat16Copy() {
        try (ParameterArena exact = new ParameterArena(shapes(), Device.CPU, DType.FLOAT64);
                ParameterArena arena = new ParameterArena(shapes(), Device.CPU);
                ParameterArena frozen = arena.over(arena.values());
                TensorScope scope = TensorScope.open()) {
            exact.narrow();
            assertNull(exact.narrowed());
            frozen.narrow();
            assertNull(arena.narrowed());
            assertFalse(narrowed(frozen).get("weight").requiresGrad());
            frozen.widen();
            assertNull(frozen.narrowed());
        }
    }
}
