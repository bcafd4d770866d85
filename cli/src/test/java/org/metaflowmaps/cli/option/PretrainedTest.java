package org.metaflowmaps.cli.option;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;

/** A checkpoint from the class path, such as {@code --pretrained} reads. */
final class PretrainedTest {
    @TempDir
    private Path folder;

    /** Writes a network alone, in half the bytes, to the folder of classes. */
    @Test
    void aNetworkOfHalfPrecisionComesFromTheClassPath() throws IOException, URISyntaxException {
        long live = NativeMemory.liveTensors();
        Path run = folder.resolve("trained");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        Path checkpoint = run.resolve("checkpoint.safetensors");
        for (DType type : new DType[] {DType.FLOAT16, DType.BFLOAT16}) {
            Path here = Path.of(Objects.requireNonNull(PretrainedTest.class.getResource("PretrainedTest.class"))
                    .toURI());
            Path classes = Objects.requireNonNull(here.getParent()).resolveSibling("pretrained");
            Path resource = Files.createDirectories(classes).resolve("test-" + type + ".safetensors");
            mfm(
                            "convert",
                            checkpoint.toString(),
                            resource.toString(),
                            "--dtype",
                            type == DType.FLOAT16 ? "f16" : "bf16")
                    .succeeded();
            try (MetaFlowMap whole = Networks.load(checkpoint, Device.CPU);
                    MetaFlowMap half = CheckpointOption.pretrained("pretrained/" + resource.getFileName(), Device.CPU)
                            .map()) {
                assertEquals(DType.FLOAT32, half.parameters().values().dtype());
                double error = type == DType.FLOAT16 ? 1e-3 : 1e-2;
                assertArrayEquals(
                        whole.parameters().values().toFloatArray(),
                        half.parameters().values().toFloatArray(),
                        (float) error);
            } finally {
                Files.delete(resource);
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void theMapThatComesAlongDraws() throws IOException {
        Path picture = folder.resolve("pretrained.png");
        mfm(
                        "posterior",
                        "--pretrained",
                        "--device",
                        "cpu",
                        "--image",
                        "3",
                        "--time",
                        "0.5",
                        "--draws",
                        "2",
                        "--out",
                        picture.toString())
                .succeeded();
        assertTrue(Files.size(picture) > 1000);
    }

    @Test
    void whatThisBuildCameWithoutIsSaid() {
        String message = String.valueOf(assertThrows(
                        IOException.class, () -> CheckpointOption.pretrained("pretrained/none.safetensors", Device.CPU))
                .getMessage());
        assertTrue(
                message.contains("--pretrained")
                        && message.contains("without pretrained/none.safetensors")
                        && message.contains("mfm train"),
                message);
    }

    @Test
    void itIsEitherAFileOrTheOneThatComesAlong() {
        for (String command : new String[] {"sample", "posterior"}) {
            mfm(command).refused("CHECKPOINT", "--pretrained");
            mfm(command, "--pretrained", "some.safetensors").refused("some.safetensors");
            mfm(command, "some.safetensors", "--pretrained").refused("--pretrained", "mutually exclusive");
            assertTrue(mfm(command, "--help").succeeded().out().contains("--pretrained"));
        }
    }
}
