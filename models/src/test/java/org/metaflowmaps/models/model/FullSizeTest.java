package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.NetworkFile;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** The networks of the paper's sizes, for ImageNet's 1000 classes and latents of 4×32×32. */
final class FullSizeTest {
    private static final Path STATUS = Path.of("/proc/self/status");

    private static TransformerConfig config(int hiddenSize, int depth, int heads, int encoderDepth) {
        return TransformerConfig.builder()
                .inputSize(32)
                .patchSize(2)
                .inChannels(4)
                .hiddenSize(hiddenSize)
                .depth(depth)
                .numHeads(heads)
                .labelDim(1000)
                .encoderDepth(encoderDepth)
                .classScales(List.of(2.5))
                .build();
    }

    private static final TransformerConfig XL = config(1152, 28, 16, 20);
    private static final TransformerConfig B = config(768, 12, 12, 8);

    private static String millions(long count) {
        return String.format(Locale.ROOT, "%.1f M", count / 1e6);
    }

    @Test
    void parameterCountsAreThePapers() {
        assertEquals("684.0 M", millions(XL.parameterCount()));
        assertEquals("134.7 M", millions(B.parameterCount()));
    }

    /**
     * The largest network computes the same numbers in bfloat16 after saving and loading. Needs up to 7 GB of memory
     * and 3 GB of disk.
     */
    @Tag("soak")
    @Test
    void theLargestNetworkIsBuiltSavedReadAndRun(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("xl.safetensors");
        long live = NativeMemory.liveTensors();
        float[] before;
        try (FlowMapTransformer map = FlowMapTransformer.zeros(XL, Device.CPU)) {
            report("zeros");
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(1)) {
                TransformerLayout.initialise(map.parameters(), random);
                perturb(map, random);
            }
            assertEquals(XL.parameterCount(), map.parameters().count());
            report(millions(map.parameters().count()) + " parameters ("
                    + map.parameters().count() + ") initialised");
            before = forward(map);
            report("run");
            try (TensorScope scope = TensorScope.open()) {
                Safetensors.write(
                        file,
                        Map.of(),
                        NetworkFile.tensors(map, map.parameters().values()));
            }
            report("saved, " + Files.size(file) + " bytes");
        }
        try (FlowMapTransformer map = FlowMapTransformer.zeros(XL, Device.CPU)) {
            try (SafetensorsFile open = SafetensorsFile.open(file)) {
                NetworkFile.load(map, open, NetworkFile.PREFIX);
            }
            report("read back");
            assertArrayEquals(before, forward(map));
            report("run again");
        } finally {
            Files.delete(file);
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Fills the zero weights of a new network, which would hide every block from its output. */
    private static void perturb(FlowMapTransformer map, RandomSource random) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            map.parameters().parameters().forEach((name, parameter) -> {
                if (name.contains("adaLN")
                        || name.startsWith("final_layer.")
                        || name.startsWith("guidance_embedder.")) {
                    try (TensorScope scope = TensorScope.open()) {
                        parameter.copy_(random.normal(parameter.shape()).mul(0.02));
                    }
                }
            });
        }
    }

    private static float[] forward(FlowMapTransformer map) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2);
                Autocast on = Autocast.bfloat16(Device.Type.CPU);
                Autograd.Mode off = Autograd.inference()) {
            Context context = new Context(
                    random.uniform(1),
                    random.normal(1, 4, 32, 32),
                    Condition.labelled(Torch.of(new long[] {281})).guided(Torch.of(new float[] {2.5f})));
            Tensor output = map.averageVelocity(
                    Torch.of(new float[] {0.2f}), Torch.of(new float[] {0.9f}), random.normal(1, 4, 32, 32), context);
            assertEquals(DType.FLOAT32, output.dtype());
            assertEquals(1, output.isFinite().all().item());
            assertTrue(output.abs().mean().item() > 0.01, "the output is about zero: the test shows nothing");
            return output.toFloatArray();
        }
    }

    @SuppressWarnings("SystemOut")
    private static void report(String what) throws IOException {
        String memory = !Files.exists(STATUS)
                ? ""
                : Files.readAllLines(STATUS).stream()
                        .filter(line ->
                                line.startsWith("VmRSS:") || line.startsWith("RssAnon:") || line.startsWith("VmHWM:"))
                        .map(line -> line.replaceAll("\\s+", " "))
                        .toList()
                        .toString();
        System.out.println("XL/2: " + what + " " + memory);
    }
}
