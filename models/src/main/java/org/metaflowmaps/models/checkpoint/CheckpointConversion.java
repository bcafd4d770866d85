package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.TensorFile;

/** Copies a network from one file to another; converts format, prefix and element type. */
public final class CheckpointConversion {
    /** Metadata keys that are copied. */
    private static final List<String> KEPT = List.of("network", "step");

    private CheckpointConversion() {}

    /** The handling of incomplete networks by {@link #convert}. */
    public enum Fitting {
        /** Throws, also for a network of unknown kind. */
        WHOLE,
        /** Copies the existing tensors. */
        LENIENT
    }

    /** The handling by {@link #convert} of finite values that are too large for the new type. */
    public enum Overflow {
        /** Throws. */
        REFUSE,
        /** Writes infinity. */
        INFINITY
    }

    /**
     * The result of a conversion.
     *
     * @param layout the network's layout in the source file
     * @param fit differences from a complete network of its kind
     * @param tensors the number of tensors written
     * @param bytes the bytes of values written
     * @param left names of tensors that were not copied, because they do not belong to the network
     */
    public record Result(CheckpointLayout layout, Fit fit, int tensors, long bytes, List<String> left) {
        /** Copies the list. */
        public Result {
            left = List.copyOf(left);
        }
    }

    /** Returns the prefix of names in a family's public files, or in this library's files; keeps other prefixes. */
    public static String usualPrefix(TensorFile file, CheckpointLayout layout) {
        if (layout.family() == CheckpointLayout.Family.OTHER) {
            return layout.prefix();
        }
        return layout.family() == CheckpointLayout.Family.MFM || file.metadata().containsKey("network")
                ? NetworkFile.PREFIX
                : "";
    }

    /** Compares a file's network with a complete one of its kind; exact if the kind is {@code OTHER}. */
    public static Fit fit(TensorFile file, CheckpointLayout layout) throws IOException {
        return layout.family() == CheckpointLayout.Family.OTHER
                ? new Fit(List.of(), List.of(), List.of())
                : Fit.of(file, layout, InferredConfig.of(file, layout).shapes());
    }

    /**
     * Writes a file's network to another file, tensor by tensor, in the format of the new file's ending. Without a type
     * the values are copied bit for bit.
     *
     * @param layout the network's layout in the file
     * @param to replaced if it exists
     * @param prefix before every name in the new file
     * @param type of all floating-point tensors; null to keep each tensor's type
     * @param fitting the handling of an incomplete network
     * @param overflow the handling of values that are too large for the type
     * @throws IOException if the network must be complete and is not, or if a file cannot be read or written
     * @throws IllegalArgumentException if the new file's ending is unknown, the type is not a floating-point type, or a
     *     value is too large for it and must not be; no file is written then
     */
    public static Result convert(
            TensorFile from,
            CheckpointLayout layout,
            Path to,
            String prefix,
            @Nullable DType type,
            Fitting fitting,
            Overflow overflow)
            throws IOException {
        if (type != null && !type.isFloatingPoint()) {
            throw new IllegalArgumentException(
                    type + " would lose the weights: expected float32, float16, bfloat16 or float64");
        }
        Fit fit;
        try {
            fit = fit(from, layout);
        } catch (IOException e) {
            if (fitting == Fitting.WHOLE) {
                throw e;
            }
            fit = new Fit(List.of(), List.of(), List.of());
        }
        if (fitting == Fitting.WHOLE && !fit.isExact()) {
            throw new IOException("the " + layout.family() + " network is not whole in " + fit.places() + " places: "
                    + fit + ". To copy it anyway, use a lenient conversion");
        }
        Map<String, String> names = layout.names(from);
        if (names.isEmpty()) {
            throw new IOException("no tensor's name begins with '" + layout.prefix() + "'");
        }
        List<OutgoingTensor.Deferred> tensors = new ArrayList<>();
        long bytes = 0;
        for (Map.Entry<String, String> name : names.entrySet()) {
            TensorFile.Entry entry = from.entries().get(name.getValue());
            if (entry == null) {
                throw new IllegalStateException(name.getValue() + " vanished");
            }
            DType wanted = type != null && entry.dtype().isFloatingPoint() ? type : entry.dtype();
            OutgoingTensor.Deferred tensor = new OutgoingTensor.Deferred(
                    prefix + name.getKey(),
                    wanted,
                    entry.shape(),
                    () -> typed(from.view(entry.name()), wanted, overflow == Overflow.INFINITY ? null : entry.name()));
            tensors.add(tensor);
            bytes += tensor.byteSize();
        }
        Map<String, String> metadata = new LinkedHashMap<>(from.metadata());
        metadata.keySet().retainAll(KEPT);
        TensorFile.write(to, metadata, tensors);
        List<String> left = Stream.concat(from.entries().keySet().stream(), layout.unreadable(from).keySet().stream())
                .filter(name -> !names.containsValue(name))
                .toList();
        return new Result(layout, fit, tensors.size(), bytes, left);
    }

    /** Converts a tensor; throws with {@code name} if a finite value becomes infinite, unless the name is null. */
    private static Tensor typed(Tensor tensor, DType type, @Nullable String name) {
        if (tensor.dtype() == type) {
            return tensor;
        }
        Tensor converted = tensor.to(type);
        if (name != null
                && tensor.numel() > 0
                && tensor.isFinite()
                                .to(DType.FLOAT32)
                                .sub(converted.isFinite().to(DType.FLOAT32))
                                .max()
                                .item()
                        > 0) {
            requireFinite(tensor, converted, type, name);
        }
        return converted;
    }

    private static void requireFinite(Tensor tensor, Tensor converted, DType type, String name) {
        double[] before = tensor.toDoubleArray();
        double[] after = converted.toDoubleArray();
        long count = 0;
        double largest = 0;
        for (int i = 0; i < before.length; i++) {
            if (Double.isInfinite(after[i]) && Double.isFinite(before[i])) {
                count++;
                largest = Math.abs(before[i]) > Math.abs(largest) ? before[i] : largest;
            }
        }
        if (count > 0) {
            throw new IllegalArgumentException(name + " has " + count
                    + (count == 1 ? " value that has" : " values that have") + " no finite " + type + ", such as "
                    + largest + ": nothing was written. Choose bfloat16 or float32, or allow infinities");
        }
    }
}
