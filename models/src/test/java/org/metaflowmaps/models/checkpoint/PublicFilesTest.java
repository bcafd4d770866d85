package org.metaflowmaps.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Objects;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvFileSource;
import org.metaflowmaps.models.checkpoint.CheckpointConversion.Fitting;
import org.metaflowmaps.models.checkpoint.CheckpointConversion.Overflow;
import org.metaflowmaps.models.checkpoint.CheckpointLayout.Family;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/** Files written by PyTorch, Lightning, Accelerate, timm and OmegaConf, compared with the values that PyTorch reads. */
final class PublicFilesTest {
    private static final String LIST = "networks/expected.tsv";

    @TempDir
    private Path folder;

    private long live;

    @BeforeEach
    void look() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static Path file(String name) {
        try {
            Path list = Path.of(Objects.requireNonNull(PublicFilesTest.class.getResource(LIST))
                    .toURI());
            return list.resolveSibling(name);
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }

    /**
     * Every tensor of the network, in its own type, bit for bit.
     *
     * @param digest SHA-256 of all names with type, shape and bytes, in the names' order, from PyTorch's values
     */
    @ParameterizedTest
    @CsvFileSource(resources = LIST, delimiter = '\t')
    void aNetworkIsReadAsPyTorchReadsIt(String name, String family, String prefix, int tensors, String digest)
            throws IOException {
        Path out = folder.resolve("out.safetensors");
        try (TensorFile file = TensorFile.open(file(name))) {
            CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow();
            assertEquals(family, layout.family().toString());
            assertEquals(Objects.requireNonNullElse(prefix, ""), layout.prefix());
            assertEquals(layout.family() == Family.DMF, layout.zeroData().orElse(false));
            assertTrue(
                    CheckpointConversion.fit(file, layout).isExact(),
                    () -> file.entries().keySet().toString());
            CheckpointConversion.convert(file, layout, out, "", null, Fitting.WHOLE, Overflow.REFUSE);
        }
        try (SafetensorsFile written = SafetensorsFile.open(out)) {
            assertEquals(tensors, written.entries().size());
            assertEquals("pt", written.metadata().get("format"));
            assertEquals(digest, digest(written));
        }
    }

    private static String digest(SafetensorsFile file) {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            new TreeMap<>(file.entries()).forEach((name, entry) -> {
                sha.update((name + " " + entry.dtype().safetensorsName() + " " + entry.shape() + "\n")
                        .getBytes(StandardCharsets.UTF_8));
                sha.update(file.bytes(name).toArray(ValueLayout.JAVA_BYTE));
            });
            return HexFormat.of().formatHex(sha.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void partsOfANetworkSayWhereTheRestIs() throws IOException {
        Path shard = file("accelerate_sharded/model-00002-of-00003.safetensors");
        assertRefused(
                IOException.class, () -> TensorFile.open(shard), "one of 3 shards", "model.safetensors.index.json");
        try (TensorFile file = TensorFile.open(shard.resolveSibling("model.safetensors.index.json"))) {
            assertEquals(22, file.entries().size());
        }
        Path alone = Files.copy(shard, folder.resolve(shard.getFileName().toString()));
        assertRefused(
                IOException.class,
                () -> TensorFile.open(alone),
                "one of 3 shards",
                "model.safetensors.index.json",
                "missing");
        Path index = Files.copy(
                shard.resolveSibling("model.safetensors.index.json"), folder.resolve("model.safetensors.index.json"));
        assertRefused(
                IOException.class,
                () -> TensorFile.open(folder),
                "shard model-00003-of-00003",
                "is missing from the folder");
        Files.writeString(index, "{\"weight_map\": {\"a\": \"../a.safetensors\"}}");
        assertRefused(IOException.class, () -> TensorFile.open(index), "'../a.safetensors'", "beside the index");
        Files.writeString(index, "{\"weight_map\": {\"a\": \"" + alone.getFileName() + "\"}}");
        assertRefused(IOException.class, () -> TensorFile.open(folder), "tensor 'a' is not in");
        String converter = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch";
        assertRefused(IOException.class, () -> TensorFile.open(file("dcp")), converter);
        assertRefused(IOException.class, () -> TensorFile.open(file("dcp/__0_0.distcp")), converter);
        // Maven does not copy files of that name.
        Path metadata = Files.copy(file("dcp/metadata"), folder.resolve(".metadata"));
        assertRefused(IOException.class, () -> TensorFile.open(metadata), converter);
    }

    /** A value above 65504 becomes infinity only on request; otherwise no file is written. */
    @Test
    void narrowingNamesWhatHasNoFiniteNumber() throws IOException {
        Path out = folder.resolve("half.safetensors");
        try (TensorFile file = TensorFile.open(file("above_float16.pt"))) {
            CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow();
            assertRefused(
                    IllegalArgumentException.class,
                    () -> CheckpointConversion.convert(
                            file, layout, out, "", DType.FLOAT16, Fitting.WHOLE, Overflow.REFUSE),
                    "final_layer.linear.bias has 1 value",
                    "no finite float16",
                    "70000",
                    "allow infinities");
            assertFalse(Files.exists(out));
            CheckpointConversion.convert(file, layout, out, "", DType.BFLOAT16, Fitting.WHOLE, Overflow.REFUSE);
            CheckpointConversion.convert(file, layout, out, "", DType.FLOAT16, Fitting.WHOLE, Overflow.INFINITY);
            assertTrue(Files.exists(out));
        }
    }
}
