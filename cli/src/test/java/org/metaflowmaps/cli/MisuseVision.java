package org.metaflowmaps.cli;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Executable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.vision.Activation;
import org.metaflowmaps.models.vision.AestheticHead;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.models.vision.AutoencoderKL;
import org.metaflowmaps.models.vision.AutoencoderSettings;
import org.metaflowmaps.models.vision.Clip;
import org.metaflowmaps.models.vision.ClipImageTower;
import org.metaflowmaps.models.vision.ClipSettings;
import org.metaflowmaps.models.vision.FidInception;
import org.metaflowmaps.models.vision.ImageReward;
import org.metaflowmaps.models.vision.TinyAutoencoder;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/** {@link MisuseRecipes} for the networks on images, which read small files of reference values. */
final class MisuseVision {
    private static final String PACKAGE = Clip.class.getPackageName();
    private static final AutoencoderSettings AUTOENCODER = new AutoencoderSettings(4, 0.2, 0, true);
    private static final ClipSettings CLIP = new ClipSettings(Activation.GELU, 3, 2, ClipSettings.LARGEST_ID, 1e-5);
    private static final ImageReward.Heads HEADS = new ImageReward.Heads(3, 2);
    private static final String EMPTY_CLIP = "{\"vision_config\": {}, \"text_config\": {}}";

    private MisuseVision() {}

    /** Copies the files; each has its own folder, because a configuration belongs to a folder. */
    static void prepare(Path folder) throws IOException {
        for (String name : List.of(
                "vae.safetensors",
                "taesd.safetensors",
                "taesd_encoder.pth",
                "taesd_decoder.pth",
                "clip-hf-gelu.safetensors",
                "imagereward.safetensors",
                "aesthetic.safetensors",
                "inception.safetensors")) {
            Path target =
                    Files.createDirectories(folder.resolve("vision-" + name)).resolve(name);
            try (InputStream in = Objects.requireNonNull(MisuseVision.class.getResourceAsStream("/vision/" + name))) {
                Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
            }
        }
        Files.writeString(folder.resolve("vision-vae.safetensors/config.json"), "{\"norm_num_groups\": 4}");
        Files.writeString(
                folder.resolve("vision-clip-hf-gelu.safetensors/config.json"),
                "{\"vision_config\": {\"hidden_act\": \"gelu\", \"num_attention_heads\": 3},"
                        + " \"text_config\": {\"hidden_act\": \"gelu\", \"num_attention_heads\": 2}}");
    }

    static boolean owns(Executable call) {
        return call.getDeclaringClass().getPackageName().equals(PACKAGE);
    }

    private static Path file(Path folder, String owner, String name) {
        String file = switch (owner) {
            case "AutoencoderKL", "Autoencoder", "ReferenceValues" -> "vae.safetensors";
            case "TinyAutoencoder" ->
                name.equals("encoder") || name.equals("decoder") ? "taesd_" + name + ".pth" : "taesd.safetensors";
            case "Clip", "ClipImageTower" -> "clip-hf-gelu.safetensors";
            case "ImageReward" -> "imagereward.safetensors";
            case "AestheticHead" -> "aesthetic.safetensors";
            default -> "inception.safetensors";
        };
        return folder.resolve("vision-" + file).resolve(file);
    }

    /** Returns values of methods of that package, or null for others. */
    static @Nullable Object plain(Path folder, Class<?> type, String name, Executable call) {
        if (type == AutoencoderSettings.class) {
            return AUTOENCODER;
        } else if (type == ClipSettings.class) {
            return CLIP;
        } else if (type == ImageReward.Heads.class) {
            return HEADS;
        } else if (!owns(call)) {
            return null;
        } else if (type == String.class) {
            Class<?> owner = call.getDeclaringClass();
            return owner == Activation.class ? "gelu" : owner == ClipSettings.class ? EMPTY_CLIP : "{}";
        } else if (type == Path.class) {
            return file(folder, call.getDeclaringClass().getSimpleName(), name);
        }
        return null;
    }

    /** Returns a network, or a file for a method of that package, which the caller closes; null for other types. */
    static @Nullable AutoCloseable made(Path folder, Class<?> type, Executable call) throws IOException {
        Path file = file(folder, type.getSimpleName(), "");
        return switch (type.getSimpleName()) {
            case "AutoencoderKL" -> AutoencoderKL.load(file, AUTOENCODER, DType.FLOAT32, Device.CPU);
            case "Autoencoder" -> Autoencoder.load(file, DType.FLOAT32, Device.CPU);
            case "TinyAutoencoder" -> TinyAutoencoder.load(file, DType.FLOAT32, Device.CPU);
            case "Clip" -> Clip.load(file, CLIP, DType.FLOAT32, Device.CPU);
            case "ClipImageTower" -> ClipImageTower.load(file, CLIP, DType.FLOAT32, Device.CPU);
            case "ImageReward" -> ImageReward.load(file, HEADS, DType.FLOAT32, Device.CPU);
            case "AestheticHead" -> AestheticHead.load(file, DType.FLOAT32, Device.CPU);
            case "FidInception" -> FidInception.load(file, DType.FLOAT32, Device.CPU);
            case "TensorFile" ->
                owns(call)
                        ? TensorFile.open(file(folder, call.getDeclaringClass().getSimpleName(), ""))
                        : null;
            default -> null;
        };
    }

    /** Returns a tensor that a method of that package takes. */
    static Tensor tensor(String owner, String name) {
        return switch (name) {
            case "images" -> owner.contains("Autoencoder") ? half(1, 3, 16, 16) : half(1, 3, 4, 5);
            case "latents", "noise", "mean", "logVariance" -> half(1, 4, 2, 2);
            case "moments" -> half(1, 8, 2, 2);
            case "pixels" -> owner.equals("ImageReward") ? half(1, 3, 24, 24) : half(1, 3, 21, 21);
            case "ids", "mask" -> Torch.of(new long[] {1, 2, 3, 1}, 1, 4);
            case "imageTokens" -> half(1, 10, 24);
            case "prepared" -> half(1, 3, 79, 79);
            case "pool" -> half(1, 128);
            default -> half(1, 20);
        };
    }

    private static Tensor half(long... shape) {
        return Torch.full(0.5, DType.FLOAT32, Device.CPU, shape);
    }
}
