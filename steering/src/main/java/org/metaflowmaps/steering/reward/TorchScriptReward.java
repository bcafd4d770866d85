package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ScriptModule;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A reward from a TorchScript network that scores images. Owned by the caller.
 *
 * <p>The file is a program that runs with the rights of this process: load only files that you trust. PyTorch has
 * deprecated TorchScript.
 */
public final class TorchScriptReward implements Reward {
    private final String name;
    private final ScriptModule module;

    private TorchScriptReward(String name, ScriptModule module) {
        this.name = name;
        this.module = module;
    }

    /**
     * Loads a reward.
     *
     * @param file of {@code torch.jit.save}; the module takes float32 images (N, C, H, W) in [0, 1] and returns (N) or
     *     (N, 1)
     * @param device of the images
     * @throws IOException if the file is missing or not TorchScript
     */
    public static TorchScriptReward load(Path file, Device device) throws IOException {
        return new TorchScriptReward("torchscript " + file.getFileName(), ScriptModule.load(file, device));
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        Checks.images(name, samples);
        try (TensorScope scope = TensorScope.open()) {
            Tensor result = module.forward(samples.to(DType.FLOAT32));
            boolean fits = result.numel() == samples.size(0)
                    && result.dtype().isFloatingPoint()
                    && (result.dim() == 1 || (result.dim() == 2 && result.size(1) == 1));
            Preconditions.checkArgument(
                    fits,
                    "reward %s returned %s for images %s, expected one number for each image: (N) or (N, 1)",
                    name,
                    result,
                    samples);
            return scope.keep(result.reshape(-1).to(samples.dtype()));
        }
    }

    @Override
    public void close() {
        module.close();
    }
}
