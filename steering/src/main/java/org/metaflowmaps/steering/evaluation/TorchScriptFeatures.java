package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ScriptModule;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Features of a TorchScript network. Owned by the caller.
 *
 * <p>The file is a program that runs with the rights of this process: load only files that you trust. PyTorch has
 * deprecated TorchScript.
 */
public final class TorchScriptFeatures implements ImageFeatures, AutoCloseable {
    private final String file;
    private final ScriptModule module;

    private TorchScriptFeatures(String file, ScriptModule module) {
        this.file = file;
        this.module = module;
    }

    /**
     * Loads a network.
     *
     * @param file of {@code torch.jit.save}; the module takes float32 images (B, C, H, W) in [0, 1], resizes them if it
     *     needs to, and returns (B, width) or (B, width, 1, 1)
     * @param device of the images
     * @throws IOException if the file is missing or not TorchScript
     */
    public static TorchScriptFeatures load(Path file, Device device) throws IOException {
        return new TorchScriptFeatures(file.toString(), ScriptModule.load(file, device));
    }

    @Override
    public Tensor of(Tensor images) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor result = module.forward(images);
            boolean fits = result.dim() >= 2
                    && result.dtype().isFloatingPoint()
                    && result.size(0) == images.size(0)
                    && result.numel() == result.size(0) * result.size(1);
            Preconditions.checkArgument(
                    fits,
                    "%s returned %s for images %s, expected a vector for each image: (B, width) or (B, width, 1, 1)",
                    file,
                    result,
                    images);
            return scope.keep(result.reshape(result.size(0), result.size(1)));
        }
    }

    @Override
    public void close() {
        module.close();
    }
}
