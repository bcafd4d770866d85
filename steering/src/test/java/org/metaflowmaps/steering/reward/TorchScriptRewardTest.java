package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.QualifiedName;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Modules written by libtorch in the format of Python's {@code torch.jit.save}. */
final class TorchScriptRewardTest {
    private final long live = NativeMemory.liveTensors();

    @TempDir
    private Path folder;

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private Path write(String forward) {
        Path file = folder.resolve("module.pt");
        try (TensorScope scope = TensorScope.open()) {
            Torch.zeros(1).close(); // loads libtorch
            try (QualifiedName name = new QualifiedName("Module");
                    JitModule module = new JitModule(name)) {
                module.define("def forward(self, x):\n  return " + forward + "\n");
                module.save(file.toString());
            }
        }
        return file;
    }

    @Test
    void aModuleScoresWithGradient() throws IOException {
        for (String forward : new String[] {"(x * x).sum([1, 2, 3])", "(x * x).sum([2, 3]).sum(1, keepdim=True)"}) {
            try (TensorScope scope = TensorScope.open();
                    Reward reward = TorchScriptReward.load(write(forward), Device.CPU)) {
                Tensor images = Samples.images(3, 1).to(DType.FLOAT32);
                RewardProbe.check(reward, images, Condition.none());
                Tensor input = images.clone().requiresGrad_(true);
                Tensor scores = reward.score(input, Condition.none());
                assertClose(images.square().sum(1, 2, 3), scores.detach(), 1e-6, forward);
                assertClose(
                        images.mul(2),
                        Autograd.gradients(scores.sum(), List.of(input)).getFirst(),
                        1e-6,
                        forward);
                assertEquals(
                        DType.FLOAT64,
                        reward.score(Samples.images(2, 1), Condition.none()).dtype());
                assertEquals("torchscript module.pt", reward.name());
            }
        }
    }

    @Test
    void aSpecOpensIt() throws IOException {
        Path file = write("x.mean([1, 2, 3])");
        try (TensorScope scope = TensorScope.open();
                Reward reward = RewardSpec.parse("torchscript:" + file).open(RewardContext.of(Device.CPU))) {
            Tensor images = Samples.images(2, 1);
            assertArrayEquals(
                    Samples.scores(ImageStatistic.brightness(), images), Samples.scores(reward, images), 1e-6);
        }
    }

    @Test
    void otherResultsAreRefused() throws IOException {
        try (TensorScope scope = TensorScope.open();
                Reward reward = TorchScriptReward.load(write("x.mean(1)"), Device.CPU)) {
            assertRefused(() -> reward.score(Samples.images(2, 1), Condition.none()), "module.pt", "(N) or (N, 1)");
        }
        assertRefused(
                IOException.class, () -> TorchScriptReward.load(folder.resolve("none.pt"), Device.CPU), "none.pt");
    }
}
