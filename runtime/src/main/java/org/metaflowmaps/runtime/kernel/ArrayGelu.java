package org.metaflowmaps.runtime.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Workers;

/**
 * GELU in its tanh form, x·σ(2u) with u = √(2/π)·(x + 0.044715·x³), and its derivative for float32 on the CPU, because libtorch's
 * operator computes a hyperbolic tangent, which takes most of its time.
 *
 * <p>Plain loops over small arrays that stay in the cache: the JVM's optimising compiler uses vector instructions for them. Integers and
 * floats of the same bits are exchanged through copies of whole arrays, because that compiler has no vector instruction for one element.
 *
 * <p>σ(2u) = 1 / (1 + e^y) with y = -2u, e^y = 2^n · e^f, n the integer nearest to y / log 2. The error is below 1e-6 of the value.
 * Results do not depend on how the elements are shared out.
 */
final class ArrayGelu {
    private static final int TILE = 1024;
    /** Elements from which several threads are worth their start. */
    private static final long SHARED = 1 << 17;

    private static final float LINEAR = (float) (2 * Math.sqrt(2 / Math.PI));
    private static final float CUBIC = (float) (2 * Math.sqrt(2 / Math.PI) * 0.044715);
    /** Beyond it σ(2u) is 1 or 0 in float32, and e^y would leave the range of floats. */
    private static final int LARGEST_BITS = Float.floatToRawIntBits(10);

    private static final float PER_LOG2 = (float) (1 / Math.log(2));
    /** 1.5 · 2^23: added to a float it rounds to an integer, which is then in the lowest bits. */
    private static final float ROUND = 0x1.8p23f;

    private static final float LOG2_HIGH = 0x1.62e4p-1f;
    private static final float LOG2_LOW = (float) (Math.log(2) - 0x1.62e4p-1);

    /** Without its optimising compiler, as "emulated-client" says, the JVM would run the loops slower than libtorch. */
    private static final boolean IS_FAST = Kernels.ENABLED && isOptimised(System.getProperty("java.vm.info", ""));

    private final float[] input = new float[TILE];
    private final float[] rate = new float[TILE];
    private final float[] limited = new float[TILE];
    private final float[] exponent = new float[TILE];
    private final float[] rounded = new float[TILE];
    private final int[] bits = new int[TILE];
    private final float[] power = new float[TILE];
    private final float[] value = new float[TILE];
    private final float[] slope = new float[TILE];

    private ArrayGelu() {}

    private static boolean isOptimised(String mode) {
        return mode.contains("mixed mode") && !mode.contains("emulated-client");
    }

    /** Returns true if this class computes an operand: float32 without gaps on the CPU, and the JVM optimises loops. */
    static boolean computes(Tensor input) {
        return IS_FAST
                && input.device().type() == Device.Type.CPU
                && input.dtype() == DType.FLOAT32
                && input.isContiguous();
    }

    /**
     * Computes gelu(input), gelu′(input) · rate or both.
     *
     * @param input contiguous, like all others; none may be freed meanwhile
     * @param rate null without {@code slope}
     * @param value where the value goes, null for nowhere
     * @param slope where the product goes, null for nowhere
     */
    static void compute(Tensor input, @Nullable Tensor rate, @Nullable Tensor value, @Nullable Tensor slope) {
        long count = input.numel();
        Memory memory = new Memory(Memory.of(input), Memory.orNull(rate), Memory.orNull(value), Memory.orNull(slope));
        long parts = count < SHARED ? 1 : Workers.count();
        if (parts == 1) {
            new ArrayGelu().range(memory, 0, count);
            return;
        }
        long size = (count / parts / TILE + 1) * TILE;
        List<Runnable> tasks = new ArrayList<>();
        for (long start = 0; start < count; start += size) {
            long from = start;
            tasks.add(() -> new ArrayGelu().range(memory, from, Math.min(from + size, count)));
        }
        Workers.run(tasks);
    }

    /** The operands' elements, valid while the tensors are. */
    private record Memory(
            MemorySegment input,
            @Nullable MemorySegment rate,
            @Nullable MemorySegment value,
            @Nullable MemorySegment slope) {
        static MemorySegment of(Tensor tensor) {
            return MemorySegment.ofAddress(Operand.address(tensor)).reinterpret(tensor.numel() * Float.BYTES);
        }

        static @Nullable MemorySegment orNull(@Nullable Tensor tensor) {
            return tensor == null ? null : of(tensor);
        }
    }

    private void range(Memory memory, long from, long to) {
        for (long start = from; start < to; start += TILE) {
            int count = (int) Math.min(TILE, to - start);
            read(memory.input, start, input, count);
            copy(input, bits);
            limit(bits);
            copy(bits, limited);
            exponents(limited, exponent, rounded);
            copy(rounded, bits);
            powers(bits);
            copy(bits, power);
            if (memory.slope == null || memory.rate == null) {
                values(input, exponent, rounded, power, value);
            } else {
                read(memory.rate, start, rate, count);
                slopes();
                write(slope, memory.slope, start, count);
            }
            if (memory.value != null) {
                write(value, memory.value, start, count);
            }
        }
    }

    private static void read(MemorySegment from, long start, float[] to, int count) {
        MemorySegment.copy(from, ValueLayout.JAVA_FLOAT, start * Float.BYTES, to, 0, count);
    }

    private static void write(float[] from, MemorySegment to, long start, int count) {
        MemorySegment.copy(from, 0, to, ValueLayout.JAVA_FLOAT, start * Float.BYTES, count);
    }

    private static void copy(float[] from, int[] to) {
        MemorySegment.copy(MemorySegment.ofArray(from), 0, MemorySegment.ofArray(to), 0, (long) TILE * Float.BYTES);
    }

    private static void copy(int[] from, float[] to) {
        MemorySegment.copy(MemorySegment.ofArray(from), 0, MemorySegment.ofArray(to), 0, (long) TILE * Float.BYTES);
    }

    /** Limits magnitudes of floats, given as bits. */
    private static void limit(int[] bits) {
        for (int i = 0; i < TILE; i++) {
            int b = bits[i];
            bits[i] = Math.min(b & 0x7fffffff, LARGEST_BITS) | (b & 0x80000000);
        }
    }

    private static void exponents(float[] limited, float[] exponent, float[] rounded) {
        for (int i = 0; i < TILE; i++) {
            float x = limited[i];
            float y = -x * Math.fma(x * x, CUBIC, LINEAR);
            exponent[i] = y;
            rounded[i] = Math.fma(y, PER_LOG2, ROUND);
        }
    }

    /** Makes 2^n of ROUND + n, both as bits; the upper bits of ROUND are shifted out. */
    private static void powers(int[] bits) {
        for (int i = 0; i < TILE; i++) {
            bits[i] = (bits[i] + 127) << 23;
        }
    }

    /**
     * Returns e^y for y, ROUND + n and 2^n: 2^n + 2^n·(f + f²·p(f)), with a polynomial fitted to |f| ≤ log(2) / 2, whose largest error
     * there is 3.3e-9 of e^f.
     */
    private static float exp(float y, float rounded, float power) {
        float n = rounded - ROUND;
        float f = Math.fma(n, -LOG2_LOW, Math.fma(n, -LOG2_HIGH, y));
        float p = Math.fma(0x1.6a1aacp-10f, f, 0x1.123fc6p-7f);
        p = Math.fma(p, f, 0x1.555916p-5f);
        p = Math.fma(p, f, 0x1.55548ap-3f);
        p = Math.fma(p, f, 0x1.fffffcp-2f);
        p = Math.fma(p, f * f, f);
        return Math.fma(p, power, power);
    }

    private static void values(float[] input, float[] exponent, float[] rounded, float[] power, float[] value) {
        for (int i = 0; i < TILE; i++) {
            value[i] = input[i] * (1 / (1 + exp(exponent[i], rounded[i], power[i])));
        }
    }

    private void slopes() {
        slopes(input, limited, rate, exponent, rounded, power, value, slope);
    }

    /** gelu′(x) = σ + x·σ·(1 - σ)·2u′, where 1 - σ = e^y·σ; adding 0·x makes it NaN where x is not finite, as libtorch's is. */
    @SuppressWarnings("TooManyParameters") // fields would be loaded again for each element
    private static void slopes(
            float[] input,
            float[] limited,
            float[] rate,
            float[] exponent,
            float[] rounded,
            float[] power,
            float[] value,
            float[] slope) {
        for (int i = 0; i < TILE; i++) {
            float x = limited[i];
            float e = exp(exponent[i], rounded[i], power[i]);
            float sigma = 1 / (1 + e);
            float inner = Math.fma(x * x, 3 * CUBIC, LINEAR);
            float derivative = Math.fma(x * sigma * inner, e * sigma, sigma);
            value[i] = input[i] * sigma;
            slope[i] = rate[i] * Math.fma(input[i], 0f, derivative);
        }
    }
}
