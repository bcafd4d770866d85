package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicReference;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Every kind of argument and result, with real operators; expected values are computed by hand or through JavaCPP. */
class OperatorTest {
    private static final Operator SUM = Operator.of("aten::sum", "dim_IntList", 4, 1);
    private static final Operator MUL = Operator.of("aten::mul", "Tensor", 2, 1);
    private static final Operator CAT = Operator.of("aten::cat", "", 2, 1);
    private static final Operator EMPTY = Operator.of("aten::empty", "memory_format", 6, 1);

    @Test
    void numbersAndTruthValues() {
        long tensor = Tensors.of(2, 3);
        Operator softmax = Operator.of("aten::_softmax", "", 3, 1);
        float[] rows =
                Tensors.take(softmax.call().tensor(tensor).int64(1).bool(false).invoke());
        double sum = Math.exp(0) + Math.exp(1) + Math.exp(2);
        for (int i = 0; i < 6; i++) {
            assertEquals(Math.exp(i % 3) / sum, rows[i], 1e-6);
        }
        Operator norm = Operator.of("aten::layer_norm", "", 6, 1);
        float[] normed = Tensors.take(norm.call()
                .tensor(tensor)
                .int64List(3)
                .optionalTensor(0)
                .none()
                .float64(0.5)
                .bool(false)
                .invoke());
        double scale = Math.sqrt(2.0 / 3 + 0.5);
        assertArrayEquals(new float[] {(float) (-1 / scale), 0, (float) (1 / scale)}, Arrays.copyOf(normed, 3), 1e-6f);
        StableAbi.delete(tensor);
    }

    @Test
    void optionalsListsAndElementTypes() {
        long tensor = Tensors.of(2, 3);
        int int32 = 3;
        assertArrayEquals(
                new float[] {3, 12},
                Tensors.take(SUM.call()
                        .tensor(tensor)
                        .int64List(1)
                        .bool(false)
                        .none()
                        .invoke()));
        assertArrayEquals(
                new float[] {15},
                Tensors.take(SUM.call().tensor(tensor).none().bool(false).none().invoke()));
        assertArrayEquals(
                new int[] {3, 5, 7},
                Tensors.takeInts(SUM.call()
                        .tensor(tensor)
                        .int64List(0)
                        .bool(true)
                        .optionalScalarType(OptionalInt.of(int32))
                        .invoke()));
        assertArrayEquals(
                new int[] {3, 12},
                Tensors.takeInts(SUM.call()
                        .tensor(tensor)
                        .int64List(-1)
                        .bool(false)
                        .scalarType(int32)
                        .invoke()));
        Operator slice = Operator.of("aten::slice", "Tensor", 5, 1);
        long part = slice.call()
                .tensor(tensor)
                .int64(0)
                .optionalInt64(OptionalLong.of(1))
                .optionalInt64(OptionalLong.empty())
                .int64(1)
                .invoke();
        assertArrayEquals(new float[] {3, 4, 5}, Tensors.take(part));
        StableAbi.delete(tensor);
    }

    @Test
    void optionalNumbers() {
        long tensor = Tensors.of(1, 1, 2);
        Operator upsample = Operator.of("aten::upsample_nearest1d", "", 3, 1);
        float[] given = Tensors.take(upsample.call()
                .tensor(tensor)
                .int64List(4)
                .optionalFloat64(OptionalDouble.of(4))
                .invoke());
        assertArrayEquals(new float[] {0, 0, 0, 0}, given);
        float[] absent = Tensors.take(upsample.call()
                .tensor(tensor)
                .int64List(4)
                .optionalFloat64(OptionalDouble.empty())
                .invoke());
        assertArrayEquals(new float[] {0, 0, 1, 1}, absent);
        StableAbi.delete(tensor);
    }

    @Test
    void strings() {
        long tensor = Tensors.of(4);
        Operator gelu = Operator.of("aten::gelu", "", 2, 1);
        Tensor input = torch.arange(new Scalar(4)).to(torch.ScalarType.Float);
        assertArrayEquals(
                Tensors.values(torch.gelu(input, "tanh")),
                Tensors.take(gelu.call().tensor(tensor).string("tanh").invoke()));
        assertArrayEquals(
                Tensors.values(torch.gelu(input, "none")),
                Tensors.take(gelu.call().tensor(tensor).string("none").invoke()));
        Refusal.expect(
                LibtorchException.class,
                "approximate",
                () -> gelu.call().tensor(tensor).string("größer").invoke());
        StableAbi.delete(tensor);
    }

    @Test
    void devicesLayoutsAndMemoryFormats() {
        int halfFloat = 5;
        int channelsLast = 2;
        int meta = 14;
        long image = EMPTY.call()
                .int64List(2, 3, 4, 5)
                .scalarType(halfFloat)
                .layout(0)
                .device(Tensors.CPU, -1)
                .bool(false)
                .memoryFormat(channelsLast)
                .invoke();
        assertArrayEquals(new long[] {2, 3, 4, 5}, StableAbi.sizes(image));
        assertArrayEquals(new long[] {60, 1, 15, 3}, StableAbi.strides(image));
        assertEquals(halfFloat, StableAbi.dtype(image));
        Operator to = Operator.of("aten::to", "device", 6, 1);
        long ghost = to.call()
                .tensor(image)
                .device(meta, -1)
                .scalarType(Tensors.FLOAT)
                .bool(false)
                .bool(false)
                .none()
                .invoke();
        assertEquals(meta, StableAbi.deviceType(ghost));
        Operator contiguous = Operator.of("aten::contiguous", "", 2, 1);
        long plain = contiguous.call().tensor(image).memoryFormat(0).invoke();
        assertTrue(StableAbi.isContiguous(plain));
        for (long handle : new long[] {image, ghost, plain}) {
            StableAbi.delete(handle);
        }
        assertThrows(IllegalArgumentException.class, () -> to.call().tensor(1).device(0, 1000));
    }

    @Test
    void listsOfTensorsAndOfOptionalTensors() {
        long tensor = Tensors.of(2, 2);
        assertArrayEquals(
                new float[] {0, 1, 0, 1, 2, 3, 2, 3},
                Tensors.take(CAT.call().tensorList(tensor, tensor).int64(1).invoke()));
        Operator unbind = Operator.of("aten::unbind", "int", 2, 1);
        long[] rows =
                Operator.takeTensorList(unbind.call().tensor(tensor).int64(0).invokeAll()[0]);
        assertEquals(2, rows.length);
        assertArrayEquals(new float[] {0, 1}, Tensors.take(rows[0]));
        assertArrayEquals(new float[] {2, 3}, Tensors.take(rows[1]));
        Operator index = Operator.of("aten::index", "Tensor", 2, 1);
        Tensor one = torch.tensor(1L);
        float[] column = Tensors.take(
                index.call().tensor(tensor).tensorList(0, one.address()).invoke());
        assertArrayEquals(new float[] {1, 3}, column);
        assertThrows(IllegalArgumentException.class, () -> CAT.call().tensorList(tensor, 0));
        StableAbi.delete(tensor);
    }

    @Test
    void severalResultsAndNone() {
        long tensor = Tensors.of(2, 3);
        Operator maximum = Operator.of("aten::max", "dim", 3, 2);
        long[] results = maximum.call().tensor(tensor).int64(1).bool(false).invokeAll();
        assertArrayEquals(new float[] {2, 5}, Tensors.take(results[0]));
        assertArrayEquals(new long[] {2}, StableAbi.sizes(results[1]));
        StableAbi.delete(results[1]);
        long[] first = maximum.call().tensor(tensor).int64(1).bool(false).invokeFirst(1);
        assertEquals(1, first.length);
        assertArrayEquals(new float[] {2, 5}, Tensors.take(first[0]));
        assertThrows(
                IllegalArgumentException.class,
                () -> maximum.call().tensor(tensor).int64(1).bool(false).invokeFirst(3));
        assertThrows(
                IllegalArgumentException.class,
                () -> maximum.call().tensor(tensor).int64(1).bool(false).invoke());
        Operator.of("aten::_foreach_neg_", "", 1, 0).call().tensorList(tensor).invokeVoid();
        assertArrayEquals(new float[] {-0f, -1, -2, -3, -4, -5}, Tensors.take(tensor));
    }

    @Test
    void callsMayBeNested() {
        long tensor = Tensors.of(3);
        long square = MUL.call()
                .tensor(tensor)
                .tensor(MUL.call().tensor(tensor).tensor(tensor).invoke())
                .invoke();
        assertArrayEquals(new float[] {0, 1, 8}, Tensors.take(square));
        StableAbi.delete(tensor);
    }

    @Test
    void aFailedOperatorSaysWhyAndTheProcessGoesOn() {
        Operator mm = Operator.of("aten::mm", "", 2, 1);
        long tensor = Tensors.of(2, 3);
        for (int i = 0; i < 3; i++) {
            Refusal.expect(
                    LibtorchException.class,
                    "aten::mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
                    () -> mm.call().tensor(tensor).tensor(tensor).invoke());
        }
        long square = Tensors.of(2, 2);
        assertArrayEquals(
                new float[] {2, 3, 6, 11},
                Tensors.take(mm.call().tensor(square).tensor(square).invoke()));
        StableAbi.delete(square);
        StableAbi.delete(tensor);
    }

    @Test
    void wrongArgumentsNeverReachNativeCode() {
        long tensor = Tensors.of(2);
        refused("takes 2 arguments", () -> MUL.call().tensor(tensor).invoke());
        refused("got one more", () -> MUL.call().tensor(tensor).tensor(tensor).tensor(tensor));
        refused("argument 1 (Tensor other)", () -> MUL.call().tensor(tensor).float64(2));
        refused("not optional", () -> MUL.call().tensor(tensor).none());
        refused("null", () -> MUL.call().tensor(0));
        refused("argument 1 (int[]? dim)", () -> SUM.call().tensor(tensor).int64(1));
        refused("argument 0 (Tensor[] tensors)", () -> CAT.call().tensor(tensor));
        refused(
                "Element type 13",
                () -> SUM.call().tensor(tensor).none().bool(false).scalarType(13));
        StableAbi.delete(tensor);
    }

    @Test
    void aCallIsUsedOnceAndOnItsThread() throws InterruptedException {
        long tensor = Tensors.of(2);
        Call call = MUL.call().tensor(tensor).tensor(tensor);
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread thread = Thread.ofPlatform().start(() -> {
            try {
                call.invoke();
            } catch (Throwable e) {
                thrown.set(e);
            }
        });
        thread.join();
        assertEquals(IllegalStateException.class, thrown.get().getClass());
        assertArrayEquals(new float[] {0, 1}, Tensors.take(call.invoke()));
        assertThrows(IllegalStateException.class, call::invoke);
        assertThrows(IllegalStateException.class, () -> call.tensor(tensor));
        StableAbi.delete(tensor);
    }

    @Test
    void operatorsAreCheckedWhenTheyAreMade() {
        refused("no operator aten::no_such", () -> Operator.of("aten::no_such", "", 1, 1));
        refused("takes 2 arguments and returns 1", () -> Operator.of("aten::mul", "Tensor", 3, 1));
        refused("takes 2 arguments and returns 1", () -> Operator.of("aten::mul", "Tensor", 2, 2));
        refused("argument 2 (Scalar alpha)", () -> Operator.of("aten::add", "Tensor", 3, 1));
        refused("return a Scalar", () -> Operator.of("aten::item", "", 1, 1));
    }

    @Test
    void resultsCanBeReadByJavacpp() {
        Tensor input = torch.arange(new Scalar(3)).to(torch.ScalarType.Float);
        long handle = MUL.call().tensor(input.address()).tensor(input.address()).invoke();
        float second = MemorySegment.ofAddress(StableAbi.dataPointer(handle))
                .reinterpret(12)
                .getAtIndex(ValueLayout.JAVA_FLOAT, 2);
        assertEquals(torch.mul(input, input).select(0, 2).item().toFloat(), second);
        StableAbi.delete(handle);
    }

    private static void refused(String words, Executable call) {
        Refusal.expect(IllegalArgumentException.class, words, call);
    }
}
