package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.training.data.TrainingData;

final class CheckpointTest {
    private static final String NETWORK =
            "{\"transformer\":null,\"mlp\":{\"dimension\":2,\"width\":16,\"depth\":1,\"label_dim\":3}}";

    @TempDir
    private Path folder;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private void assertUnloadable(Path file, String... parts) {
        String[] all = Arrays.copyOf(parts, parts.length + 1);
        all[parts.length] = file.toString();
        assertRefused(IOException.class, () -> Networks.load(file, Device.CPU).close(), all);
    }

    @ParameterizedTest
    @ValueSource(strings = {"mlp", "transformer"})
    void aLoadedNetworkHasTheAveragedWeights(String kind) throws IOException {
        Runs runs = new Runs();
        runs.model = kind.equals("mlp") ? Runs.MLP : Runs.TRANSFORMER;
        runs.learningRate = 1e-2;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.run();
            try (MetaFlowMap map = Networks.load(folder.resolve(CheckpointFolder.CHECKPOINT), Device.CPU);
                    TensorScope scope = TensorScope.open()) {
                float[] loaded = map.parameters().values().toFloatArray();
                assertArrayEquals(trainer.average().values().toFloatArray(), loaded);
                assertTrue(
                        !Arrays.equals(trainer.map().parameters().values().toFloatArray(), loaded),
                        "the average lags behind");
                trainer.map()
                        .buffers()
                        .forEach((name, buffer) -> assertArrayEquals(
                                buffer.toFloatArray(),
                                map.buffers().getOrDefault(name, Torch.zeros(1)).toFloatArray()));
                assertEquals(trainer.map().itemShape(), map.itemShape());
            }
        }
    }

    @Test
    void whatIsNoCheckpointIsRefused() throws IOException {
        byte[] noise = new byte[4096];
        new Random(1).nextBytes(noise);
        assertUnloadable(Files.write(folder.resolve("noise"), noise));
        assertUnloadable(Files.write(folder.resolve("empty"), new byte[0]));
        assertUnloadable(Files.writeString(folder.resolve("text"), "not a checkpoint, but a text of some length"));
        assertUnloadable(folder, "is a folder");
        Path missing = folder.resolve("missing");
        assertRefused(
                NoSuchFileException.class,
                () -> Networks.load(missing, Device.CPU).close(),
                missing.toString());
    }

    private byte[] trained() throws IOException {
        Runs runs = new Runs();
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.run();
        }
        return Files.readAllBytes(folder.resolve(CheckpointFolder.CHECKPOINT));
    }

    @Test
    void aTruncatedCheckpointIsRefusedWhereverItEnds() throws IOException {
        byte[] whole = trained();
        Path cut = folder.resolve("cut.safetensors");
        Random random = new Random(3);
        IntStream lengths = IntStream.concat(
                IntStream.of(0, 1, 7, 8, 9, whole.length - 4, whole.length - 1), random.ints(100, 0, whole.length));
        for (int length : lengths.toArray()) {
            assertUnloadable(Files.write(cut, Arrays.copyOf(whole, length)));
            // A file system may store a file's length before its content.
            byte[] torn = Arrays.copyOf(Arrays.copyOf(whole, length), whole.length);
            if (!Arrays.equals(torn, whole)) {
                assertUnloadable(Files.write(cut, torn));
            }
        }
    }

    /** Positions all over the file, and every byte of the two header keys that show that the file has a checksum. */
    @Test
    void aFlippedBitIsFoundWhereverItIs() throws IOException {
        byte[] whole = trained();
        String text = new String(whole, StandardCharsets.ISO_8859_1);
        int header =
                8 + (int) ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN).getLong();
        IntStream names = Stream.of("\"run\":", "\"sha256\":")
                .flatMapToInt(name -> IntStream.range(text.indexOf(name), text.indexOf(name) + name.length()));
        Path flipped = folder.resolve("flipped.safetensors");
        Random random = new Random(4);
        IntStream places = IntStream.concat(
                names, IntStream.concat(random.ints(100, 0, header), random.ints(100, header, whole.length)));
        for (int place : places.toArray()) {
            byte[] damaged = whole.clone();
            damaged[place] ^= (byte) (1 << random.nextInt(8));
            assertUnloadable(Files.write(flipped, damaged));
        }
    }

    @Test
    void aFileOfSomeoneElseIsRefused() throws IOException {
        Path file = folder.resolve("foreign.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, Map.of("format", "pt"), Map.of("weight", Torch.zeros(3)));
        }
        assertUnloadable(file, "holds no network of a known layout");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{",
                "null",
                "{}",
                "[]",
                "3",
                "{\"cnn\":{}}",
                "{\"mlp\":{\"dimension\":-1,\"width\":16,\"depth\":1,\"label_dim\":3}}",
                "{\"mlp\":{\"dimension\":\"two\",\"width\":16,\"depth\":1,\"label_dim\":3}}"
            })
    void aNetworkThatIsNotUnderstoodIsRefused(String network) throws IOException {
        Path file = folder.resolve("foreign.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, Map.of("network", network), Map.of("weight", Torch.zeros(3)));
        }
        assertUnloadable(file, "is not understood");
    }

    @Test
    void weightsThatDoNotFitTheNetworkAreRefused() throws IOException {
        Path file = folder.resolve("foreign.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, Map.of("network", NETWORK), Map.of("dit.weight", Torch.zeros(3)));
        }
        assertUnloadable(
                file,
                "describe a network of 1,826 parameters",
                "holds 3 numbers in 1 tensors",
                "do not belong to this file");
    }
}
