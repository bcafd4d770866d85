package org.metaflowmaps.cli.bench;

import java.io.IOException;
import java.util.Arrays;
import org.metaflowmaps.bindings.GraphPool;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.cuda.AllocatorStatistics;

/**
 * Times of some work, in seconds, and a GPU's memory.
 *
 * @param median of the repetitions, until the device has finished
 * @param least of the repetitions likewise
 * @param host median time until the host has submitted the work; on the CPU equal to the whole time
 * @param peak most bytes of a GPU's tensors during the repetitions, those from before included; 0 if unknown
 */
record BenchTime(double median, double least, double host, long peak) {
    /** Some work to time. */
    @FunctionalInterface
    interface Work {
        void run() throws IOException;
    }

    /**
     * Runs some work several times, each in its own scope.
     *
     * @param warmUp untimed runs before the timed ones
     * @param repetitions timed runs
     */
    static BenchTime of(Device device, int warmUp, int repetitions, Work work) throws IOException {
        double[] whole = new double[repetitions];
        double[] host = new double[repetitions];
        for (int i = -warmUp; i < repetitions; i++) {
            await(device);
            if (i == 0) {
                resetPeak(device);
            }
            long begin = System.nanoTime();
            try (TensorScope scope = TensorScope.open()) {
                work.run();
            }
            long submitted = System.nanoTime();
            await(device);
            if (i >= 0) {
                host[i] = (submitted - begin) * 1e-9;
                whole[i] = (System.nanoTime() - begin) * 1e-9;
            }
        }
        return of(whole, host, device);
    }

    /** Summarises times of repetitions, until the device and until the host had finished. */
    static BenchTime of(double[] whole, double[] host, Device device) {
        return new BenchTime(median(whole), Arrays.stream(whole).min().orElseThrow(), median(host), peak(device));
    }

    /** Begins a measurement of a GPU's memory. */
    static void resetPeak(Device device) {
        if (isMeasured(device)) {
            AllocatorStatistics.resetPeaks(device);
        }
    }

    private static long peak(Device device) {
        return isMeasured(device) ? AllocatorStatistics.of(device).peakAllocated() : 0;
    }

    private static boolean isMeasured(Device device) {
        return device.type() == Device.Type.CUDA && GraphPool.missing().isEmpty();
    }

    /** Waits for the work that this thread submitted to a device, by reading a value computed after it. */
    static void await(Device device) {
        if (device.type() != Device.Type.CPU) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor after = Torch.zeros(DType.FLOAT32, device);
                after.item();
            }
        }
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
