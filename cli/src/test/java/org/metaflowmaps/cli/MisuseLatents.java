package org.metaflowmaps.cli;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.NpyArray;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.training.data.EncodingListener;
import org.metaflowmaps.training.data.EncodingSettings;
import org.metaflowmaps.training.data.LatentManifest;
import org.metaflowmaps.training.data.SquareCrop;
import tools.jackson.databind.json.JsonMapper;

/** {@link MisuseRecipes} for folders of latents. */
final class MisuseLatents {
    static final LatentManifest MANIFEST = new LatentManifest(
            LatentManifest.FORMAT,
            1,
            new LatentManifest.Vae("vae.safetensors", "0", 4, 8, 0.5, 0),
            LatentManifest.Store.MOMENTS,
            "F32",
            SquareCrop.ADM,
            8,
            false,
            1,
            List.of("a"),
            2,
            "0",
            List.of(new LatentManifest.Shard("latents-00000.safetensors", "0", 0, 2, 1)),
            List.of(new LatentManifest.Skipped("a/b.png", "it is empty")));

    private MisuseLatents() {}

    static void prepare(Path folder) throws IOException {
        Path encoded = Files.createDirectories(folder.resolve("encoded"));
        Files.writeString(
                encoded.resolve(LatentManifest.NAME),
                JsonMapper.builder().build().writeValueAsString(MANIFEST));
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    folder.resolve("references.safetensors"),
                    Map.of("generator", "imagefiles"),
                    Map.of("a.png", Torch.zeros(DType.UINT8, Device.CPU, 4, 4, 3)));
        }
    }

    /** Returns an array of one byte as numpy.save writes it. */
    static byte[] npy() {
        String header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }";
        return ("\u0093NUMPY\1\0" + (char) header.length() + "\0" + header + "x").getBytes(StandardCharsets.ISO_8859_1);
    }

    /** Returns a value of a type, or null for other types. */
    static @Nullable Object made(Path folder, Class<?> type) {
        return switch (type.getSimpleName()) {
            case "LatentScaling" -> LatentScaling.of(0.5, 0);
            case "NpyArray" -> new NpyArray(DType.FLOAT32, Shape.of(1), MemorySegment.ofArray(new byte[Float.BYTES]));
            case "EncodingListener" -> EncodingListener.NONE;
            case "LatentManifest" -> MANIFEST;
            case "EncodingSettings" ->
                new EncodingSettings(
                        folder.resolve("images"),
                        folder.resolve("out/latents" + System.nanoTime()),
                        folder.resolve("vision-vae.safetensors/vae.safetensors"),
                        SquareCrop.ADM,
                        8,
                        false,
                        LatentManifest.Store.MOMENTS,
                        DType.FLOAT32,
                        2,
                        1,
                        2,
                        1);
            default -> null;
        };
    }
}
