package org.metaflowmaps.runtime;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.CudaAllocator;
import org.metaflowmaps.bindings.GraphPool;
import org.metaflowmaps.runtime.internal.Leaks;

/** What fills the memory: the largest tensors of this thread's scopes, and of those that were kept out of all scopes. */
final class LiveTensors {
    private static final int MOST = 5;
    private static final Pattern GPU = Pattern.compile("GPU (\\d{1,3})\\b");
    private static final String RUNTIME = LiveTensors.class.getPackageName();

    private LiveTensors() {}

    /** Tensors alike. */
    private record Kind(String tensor, String place) {}

    private record Total(Kind kind, long count, long bytes) {
        Total plus(Total other) {
            return new Total(kind, count + other.count, bytes + other.bytes);
        }

        String text() {
            return count + " x " + kind.tensor + " " + FreeMemory.text(bytes) + kind.place;
        }
    }

    /**
     * Returns sentences for the message of an error, in one line; throws no exception.
     *
     * @param reason libtorch's
     */
    static String report(String reason) {
        try {
            List<Tensor> live = list();
            return largest(live) + gpu(reason, live).map(LiveTensors::given).orElse("");
        } catch (RuntimeException e) {
            return "";
        }
    }

    private static List<Tensor> list() {
        List<Tensor> live = new ArrayList<>();
        TensorScope innermost = ThreadState.current().innermost;
        if (innermost != null) {
            innermost.addTo(live);
        }
        for (Object kept : Leaks.watched()) {
            if (kept instanceof Tensor tensor) {
                live.add(tensor);
            }
        }
        return live;
    }

    private static String largest(List<Tensor> live) {
        Map<Kind, Total> totals = new LinkedHashMap<>();
        for (Tensor tensor : live) {
            total(tensor).ifPresent(total -> totals.merge(total.kind, total, Total::plus));
        }
        String list = totals.values().stream()
                .sorted(Comparator.comparingLong(Total::bytes).reversed())
                .limit(MOST)
                .map(Total::text)
                .collect(Collectors.joining(", "));
        return (list.isEmpty() ? "" : ". Largest live tensors here, views counted in full: " + list)
                + ". All threads hold " + NativeMemory.liveTensors() + " tensors, "
                + FreeMemory.text(NativeMemory.liveBytes())
                + (Leaks.isTracing()
                        ? ""
                        : "; start Java with -D" + Leaks.PROPERTY + "=trace to see where they were made");
    }

    /** Empty for a tensor that another thread has closed meanwhile. */
    private static Optional<Total> total(Tensor tensor) {
        try {
            String text = tensor.dtype() + "" + tensor.shape() + " on " + tensor.device();
            return Optional.of(new Total(new Kind(text, place(tensor.made())), 1, tensor.bytes()));
        } catch (IllegalStateException e) {
            return Optional.empty();
        }
    }

    /** The innermost caller outside this package. */
    static String place(@Nullable Throwable made) {
        return made == null
                ? ""
                : Stream.of(made.getStackTrace())
                        .filter(frame -> !frame.getClassName().startsWith(RUNTIME + ".")
                                && !frame.getClassName().startsWith("java."))
                        .findFirst()
                        .map(frame -> " made at " + frame.getFileName() + ":" + frame.getLineNumber())
                        .orElse("");
    }

    /** The GPU that libtorch names, as in "GPU 0 has a total capacity of", else that of a live tensor. */
    private static Optional<Integer> gpu(String reason, List<Tensor> live) {
        Matcher named = GPU.matcher(reason);
        if (!reason.contains("CUDA") || GraphPool.missing().isPresent()) {
            return Optional.empty();
        }
        return named.find()
                ? Optional.of(Integer.parseInt(named.group(1)))
                : live.stream().map(LiveTensors::gpu).flatMap(Optional::stream).findFirst();
    }

    /** Empty also for a tensor that another thread has closed meanwhile. */
    private static Optional<Integer> gpu(Tensor tensor) {
        try {
            Device device = tensor.device();
            return device.type() == Device.Type.CUDA ? Optional.of(device.index()) : Optional.empty();
        } catch (IllegalStateException e) {
            return Optional.empty();
        }
    }

    /** What libtorch's allocator has given out. */
    private static String given(int gpu) {
        CudaAllocator.Statistics statistics = CudaAllocator.statistics(gpu);
        return ". On cuda:" + gpu + " tensors take " + FreeMemory.text(statistics.allocated())
                + ", those of gradient graphs included, and " + FreeMemory.text(statistics.reserved())
                + " are reserved: lower the batch, or set accumulate or recompute";
    }
}
