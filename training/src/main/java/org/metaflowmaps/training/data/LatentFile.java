package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Checks every number of a file of latents. */
final class LatentFile {
    private static final VarHandle SHORT = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle FLOAT = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);

    private LatentFile() {}

    /**
     * The contents of a file.
     *
     * @param form type and shape of one latent
     * @param count latents
     * @param damaged the number of latents that training cannot use
     * @param infinite the number of latents that training can use only if the second half of their channels are log
     *     variances
     * @param problems a line for each of the first damaged ones
     */
    record Found(String form, long count, long damaged, long infinite, List<String> problems) {}

    /** Reads a whole file. */
    static Found check(Path path, int most, DataCheck.Expected expected) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            Map<String, SafetensorsFile.Entry> entries = file.entries();
            SafetensorsFile.Entry latents = entries.get("latents");
            SafetensorsFile.Entry labels = entries.get("labels");
            if (latents == null
                    || labels == null
                    || latents.shape().dim() != 4
                    || !labels.shape().equals(Shape.of(latents.shape().size(0)))
                    || labels.dtype() != DType.INT64
                    || !isReal(latents.dtype())) {
                throw new IOException(path + " holds "
                        + (latents == null ? "no latents" : "latents " + latents.dtype() + latents.shape()) + " and "
                        + (labels == null ? "no labels" : "labels " + labels.dtype() + labels.shape())
                        + ", expected latents (N, C, H, W) in float32, float16 or bfloat16 and labels (N) in int64");
            }
            Shape shape = latents.shape();
            long stored = shape.size(1);
            if (stored < 1 || shape.size(2) < 1 || shape.size(3) < 1) {
                throw new IOException(path + ": latents are " + latents.dtype() + shape
                        + ", expected at least one channel, row and column");
            }
            Integer channels = expected.channels();
            if (channels != null && stored != channels && stored != 2L * channels) {
                throw new IOException(path + ": latents are " + latents.dtype() + shape + ", expected " + channels
                        + " channels or, for means and log variances, " + 2 * channels + " (data.channels is "
                        + channels + ")");
            }
            // If data.channels is unknown, an even number of channels may be means and log variances.
            long means = channels != null ? channels : stored % 2 == 0 ? stored / 2 : stored;
            long count = latents.shape().size(0);
            List<String> problems = new ArrayList<>();
            long damaged = 0;
            long infinite = 0;
            MemorySegment values = file.bytes("latents");
            MemorySegment numbers = file.bytes("labels");
            long size = count == 0 ? 0 : values.byteSize() / count;
            for (long i = 0; i < count; i++) {
                byte[] item = values.asSlice(i * size, size).toArray(ValueLayout.JAVA_BYTE);
                int bad = firstBad(item, latents.dtype(), means * shape.size(2) * shape.size(3));
                long label = numbers.get(ValueLayout.JAVA_LONG_UNALIGNED, i * Long.BYTES);
                Integer classes = expected.classes();
                boolean unknown = label < 0 || (classes != null && label >= classes);
                if (bad >= 0 || unknown) {
                    damaged++;
                    if (problems.size() < most) {
                        problems.add(path + ": latent " + i
                                + (unknown
                                        ? " has label " + label + ", expected 0 "
                                                + (classes == null
                                                        ? "or more"
                                                        : "to " + (classes - 1) + " (data.classes is " + classes + ")")
                                        : " holds " + value(item, bad, latents.dtype()) + ", expected finite numbers"));
                    }
                } else if (channels == null && firstBad(item, latents.dtype(), Long.MAX_VALUE) >= 0) {
                    infinite++;
                }
            }
            return new Found(latents.dtype().toString() + shape.from(1), count, damaged, infinite, problems);
        }
    }

    private static boolean isReal(DType type) {
        return type == DType.FLOAT32 || type == DType.FLOAT16 || type == DType.BFLOAT16;
    }

    /**
     * Returns the index of the first number that training cannot use; -1 if it can use all. Log variances are clamped,
     * so they may be infinite, as for a variance of 0, but not NaN.
     *
     * @param means the count of numbers before the log variances
     */
    static int firstBad(byte[] item, DType type, long means) {
        for (int i = 0; i < item.length / type.bytes(); i++) {
            float value = value(item, i, type);
            if (i < means ? !Float.isFinite(value) : Float.isNaN(value)) {
                return i;
            }
        }
        return -1;
    }

    /** Returns a stored, little-endian number of an item. */
    static float value(byte[] item, int index, DType type) {
        int at = Math.toIntExact((long) index * type.bytes());
        return switch (type) {
            case FLOAT16 -> Float.float16ToFloat((short) SHORT.get(item, at));
            case BFLOAT16 -> Float.intBitsToFloat((short) SHORT.get(item, at) << 16);
            default -> (float) FLOAT.get(item, at);
        };
    }

    /** Returns true if the second half of a latent's channels can be standard deviations but hardly log variances. */
    static boolean areDeviations(byte[] latent, LatentCode code) {
        int numbers = latent.length / code.type().bytes();
        float largest = 0;
        for (int i = numbers / 2; i < numbers; i++) {
            float value = value(latent, i, code.type());
            if (!(value >= 0 && value < 1)) {
                return false;
            }
            largest = Math.max(largest, value);
        }
        return largest > 0;
    }

    /** Throws unless there are latents of mirrored images, which are not the mirror images of latents. */
    static void requireMirrored(boolean present) {
        Preconditions.checkArgument(
                present,
                "latents cannot be mirrored, because a mirrored image has a different latent: expected flip false, or"
                        + " files with the latents of mirrored images too (mfm data encode --flips)");
    }
}
