package org.metaflowmaps.training.data;

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
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** The numbers of a file of latents, looked at one by one. */
final class LatentFile {
    private static final VarHandle SHORT = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle FLOAT = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);

    private LatentFile() {}

    /**
     * What a file holds.
     *
     * @param form type and shape of one latent
     * @param count latents
     * @param damaged those of them that cannot be trained on
     * @param problems a line for each of the first of these
     */
    record Found(String form, long count, long damaged, List<String> problems) {}

    /** Reads all of a file. */
    static Found check(Path path, int most) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            Map<String, SafetensorsFile.Entry> entries = file.entries();
            SafetensorsFile.Entry latents = entries.get("latents");
            SafetensorsFile.Entry labels = entries.get("labels");
            if (latents == null || labels == null || latents.shape().size() != 4 || !labels.shape().equals(latents.shape().subList(0, 1))
                    || labels.dtype() != DType.INT64 || !isReal(latents.dtype())) {
                throw new IOException(path + " holds " + (latents == null ? "no latents" : "latents " + latents.dtype()
                        + latents.shape()) + " and "
                        + (labels == null ? "no labels" : "labels " + labels.dtype() + labels.shape())
                        + ", expected latents (N, C, H, W) in float32, float16 or bfloat16 and labels (N) in int64");
            }
            long count = latents.shape().getFirst();
            List<String> problems = new ArrayList<>();
            long damaged = 0;
            MemorySegment values = file.bytes("latents");
            MemorySegment numbers = file.bytes("labels");
            long size = count == 0 ? 0 : values.byteSize() / count;
            for (long i = 0; i < count; i++) {
                byte[] item = values.asSlice(i * size, size).toArray(ValueLayout.JAVA_BYTE);
                int bad = firstNotFinite(item, latents.dtype());
                long label = numbers.get(ValueLayout.JAVA_LONG_UNALIGNED, i * Long.BYTES);
                if (bad >= 0 || label < 0) {
                    damaged++;
                    if (problems.size() < most) {
                        problems.add(path + ": latent " + i + (label < 0 ? " has label " + label : " holds " + value(item, bad,
                                latents.dtype())
                                + ", expected finite numbers"));
                    }
                }
            }
            return new Found(latents.dtype() + latents.shape().subList(1, 4).toString(), count, damaged, problems);
        }
    }

    private static boolean isReal(DType type) {
        return type == DType.FLOAT32 || type == DType.FLOAT16 || type == DType.BFLOAT16;
    }

    /** Where the first NaN or infinity of an item is; -1 if there is none. */
    static int firstNotFinite(byte[] item, DType type) {
        for (int i = 0; i < item.length / type.bytes(); i++) {
            if (!Float.isFinite(value(item, i, type))) {
                return i;
            }
        }
        return -1;
    }

    /** A number of an item as it is stored, little-endian. */
    static float value(byte[] item, int index, DType type) {
        int at = Math.toIntExact((long) index * type.bytes());
        return switch (type) {
            case FLOAT16 -> Float.float16ToFloat((short) SHORT.get(item, at));
            case BFLOAT16 -> Float.intBitsToFloat((short) SHORT.get(item, at) << 16);
            default -> (float) FLOAT.get(item, at);
        };
    }
}
