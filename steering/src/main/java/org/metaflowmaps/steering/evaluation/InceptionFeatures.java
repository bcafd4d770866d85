package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.vision.FidInception;
import org.metaflowmaps.models.vision.InceptionInput;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ScriptModule;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;

/**
 * Features of images by the Inception network of FID, from its weights or as NVIDIA's TorchScript file.
 *
 * <p>A TorchScript file is a program that runs with the rights of this process: load only files that you trust. Owned by
 * the caller.
 */
public final class InceptionFeatures implements AutoCloseable {
    private final String file;
    private final InceptionInput input;
    private final Device device;
    private final @Nullable FidInception network;
    private final @Nullable ScriptModule module;

    private InceptionFeatures(
            String file,
            InceptionInput input,
            Device device,
            @Nullable FidInception network,
            @Nullable ScriptModule module) {
        this.file = file;
        this.input = input;
        this.device = device;
        this.network = network;
        this.module = module;
    }

    /**
     * Features of some images.
     *
     * @param pool (B, width), for FID, KID, precision and recall
     * @param spatial (B, other width), for sFID; empty from a TorchScript file, which does not return them
     * @param logits (B, classes) without the last layer's bias, for the Inception score; adding a constant to an image's row changes nothing
     */
    public record Found(Tensor pool, Optional<Tensor> spatial, Tensor logits) {
        /** Checks for two dimensions each, and equally many images. */
        public Found {
            check(pool, pool, "pool");
            spatial.ifPresent(tensor -> check(tensor, pool, "spatial"));
            check(logits, pool, "logits");
        }

        private static void check(Tensor tensor, Tensor pool, String name) {
            Preconditions.checkArgument(
                    tensor.dim() == 2 && tensor.dtype().isFloatingPoint() && tensor.size(0) == pool.size(0),
                    "features: %s is %s, expected floating point of a shape of (B, width), B as of pool %s",
                    name,
                    tensor,
                    pool);
        }
    }

    /**
     * Loads the network.
     *
     * @param file {@code pt_inception-2015-12-05-6726825d.pth} of pytorch-fid, the same weights as safetensors, or
     *     NVIDIA's {@code inception-2015-12-05.pt}
     * @param input how to prepare images
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static InceptionFeatures load(Path file, InceptionInput input, Device device) throws IOException {
        Preconditions.checkNotNull(input, "load: the input is null");
        return isScript(file)
                ? new InceptionFeatures(file.toString(), input, device, null, ScriptModule.load(file, device))
                : new InceptionFeatures(
                        file.toString(), input, device, FidInception.load(file, DType.FLOAT32, device), null);
    }

    /** Returns true for an archive with a program. */
    @SuppressWarnings("UnusedException")
    private static boolean isScript(Path file) throws IOException {
        try (ZipFile zip = new ZipFile(file.toFile())) {
            return zip.stream().anyMatch(entry -> entry.getName().endsWith("/constants.pkl"));
        } catch (ZipException | NoSuchFileException e) {
            // Reading the weights explains what is wrong.
            return false;
        }
    }

    /** Returns true if {@link Found#spatial} is present. */
    public boolean isSpatial() {
        return network != null;
    }

    /**
     * Computes features, of each image independently. On the CPU the images are shared out over threads.
     *
     * @param images uint8 (B, 3, height, width), B at least 1
     * @return float32 tensors of the innermost open scope, on this object's device
     */
    public Found of(Tensor images) {
        Preconditions.checkArgument(
                images.dtype() == DType.UINT8 && images.dim() == 4 && images.size(1) == 3 && images.numel() > 0,
                "Inception features: images are %s, expected uint8 of a shape of (B, 3, height, width)",
                images);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            int parts = device.type() == Device.Type.CPU && network != null
                    ? (int) Math.min(Workers.count(), images.size(0))
                    : 1;
            List<Supplier<List<Tensor>>> tasks = new ArrayList<>();
            for (Tensor part : images.to(device).chunk(parts, 0)) {
                tasks.add(() -> part(part));
            }
            List<List<Tensor>> found = Workers.map(tasks);
            return new Found(
                    scope.keep(joined(found, 0)),
                    isSpatial() ? Optional.of(scope.keep(joined(found, 2))) : Optional.empty(),
                    scope.keep(joined(found, 1)));
        }
    }

    private static Tensor joined(List<List<Tensor>> parts, int index) {
        return Torch.cat(0, parts.stream().map(part -> part.get(index)).toArray(Tensor[]::new));
    }

    /** Returns pool, logits, and spatial if the network has it. */
    private List<Tensor> part(Tensor images) {
        if (network != null) {
            FidInception.Features features = network.features(images, input);
            return List.of(features.pool(), network.logits(features.pool(), false), features.spatial());
        }
        ScriptModule script = Objects.requireNonNull(module);
        Tensor given = given(images);
        Tensor pool = script.forward(given, true);
        // Without output bias; probabilities of 0 have no logarithm.
        Tensor logits = script.forward(given, false, false, true)
                .clampMin(Float.MIN_NORMAL)
                .log();
        Preconditions.checkArgument(
                pool.dim() == 2 && pool.size(0) == images.size(0) && logits.dim() == 2,
                "%s returned %s and %s for images %s, expected (B, width) and (B, classes): is it NVIDIA's file?",
                file,
                pool,
                logits,
                images);
        return List.of(pool, logits);
    }

    /** The module resizes as TensorFlow does, which changes nothing at 299 pixels, and applies (x - 128) / 128. */
    private Tensor given(Tensor images) {
        return input == InceptionInput.TENSORFLOW
                ? images
                : input.prepare(images, DType.FLOAT32).mul(128).add(128);
    }

    @Override
    public void close() {
        if (network != null) {
            network.close();
        }
        if (module != null) {
            module.close();
        }
    }
}
