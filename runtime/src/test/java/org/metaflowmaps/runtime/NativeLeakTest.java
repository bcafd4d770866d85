package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.bindings.Operator;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.TensorFile;

/** A hundred thousand small operations leave counters and process memory unchanged, and close every JavaCPP object. */
class NativeLeakTest {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final int OPERATIONS_PER_ROUND = 25;
    private static final int ROUNDS = 4_000;
    private static final int WIDE = 4_096;

    private static int threads;

    @TempDir
    Path folder;

    /** Uses one thread: on a busy machine threads would mostly wait for each other after every small operation. */
    @BeforeAll
    static void warmUp() {
        Handles.initialise();
        threads = torch.get_num_threads();
        torch.set_num_threads(1);
        rounds(1_000, 4);
    }

    @AfterAll
    static void restore() {
        torch.set_num_threads(threads);
    }

    private static void rounds(int count, int width) {
        try (RandomSource random = RandomSource.seeded(1);
                TensorScope outer = TensorScope.open()) {
            Tensor x = Torch.arange(2L * width).to(DType.FLOAT32).div(width).reshape(2, width);
            Tensor wrong = Torch.zeros(3);
            for (int i = 0; i < count; i++) {
                try (TensorScope scope = TensorScope.open()) {
                    round(x, wrong, random, i);
                }
            }
        }
    }

    /**
     * Scalars with and without a slot, in-place work, reductions, lists, gradients, draws, copies, segments, failures.
     */
    private static void round(Tensor x, Tensor wrong, RandomSource random, int i) {
        Tensor y = x.mul(1.0 / (i + 3)).add(2).add(x);
        y.add_(i * 0.1).mul_(2).add_(x).zero_();
        Tensor[] halves = y.chunk(2, 1);
        Tensor whole = Torch.cat(1, halves);
        whole.sum(1).max().item();
        whole.argmax(1).close();
        whole.sort(0);
        Torch.layerNorm(whole, 1e-6);
        Torch.softmaxBackward(x, x.softmax(1), 1);
        random.normal(x.shape()).maskedFill(y.eq(0), -1);
        try (Autograd.Mode mode = i % 2 == 0 ? Autograd.noGrad() : Autograd.inference()) {
            x.exp();
        }
        Tensor leaf = x.detach().requiresGrad_(true);
        Autograd.gradients(leaf.square().sum(), List.of(leaf));
        if (i % 64 == 0) {
            y.segment();
            x.toFloatArray();
            fail(i / 64, x, wrong);
            try (ParameterArena arena = new ParameterArena(Map.of("w", x.shape()), Device.CPU)) {
                Autograd.backward(arena.get("w").mul(x).sum());
            }
        }
    }

    /** Run rarely, because libtorch needs milliseconds to describe its stack. */
    private static void fail(int kind, Tensor x, Tensor wrong) {
        List<Executable> failures = List.of(
                () -> x.add(wrong),
                () -> x.add_(wrong),
                () -> x.chunk(0, 0),
                () -> x.sort(9),
                () -> Torch.softmaxBackward(wrong, wrong, 5),
                () -> Autograd.gradients(x.sum(), List.of(x)),
                () -> Torch.cat(0, x, wrong));
        assertThrows(TensorException.class, failures.get(kind % failures.size()));
    }

    @Test
    void countersReturnToWhereTheyWere() {
        long tensors = NativeMemory.liveTensors();
        long bytes = NativeMemory.liveBytes();
        rounds(ROUNDS, 4);
        assertTrue(ROUNDS * OPERATIONS_PER_ROUND >= 100_000);
        assertEquals(tensors, NativeMemory.liveTensors());
        assertEquals(bytes, NativeMemory.liveBytes());
    }

    /**
     * Runs without garbage collection but with JavaCPP's tracking on: objects that are not closed stay in JavaCPP's
     * count.
     */
    @Test
    void everyJavacppObjectIsClosed() throws Exception {
        String text = ClosingRacesTest.child(
                folder,
                NativeLeakTest.class,
                List.of(
                        "-Dorg.bytedeco.javacpp.nopointergc=false",
                        "-XX:+UnlockExperimentalVMOptions",
                        "-XX:+UseEpsilonGC",
                        "-Xmx2g"));
        assertTrue(text.contains("left open 0"), text);
    }

    /** Runs twice, so that the first pass makes the shared constants. */
    public static void main(String[] arguments) throws IOException {
        long open = 0;
        for (int pass = 0; pass < 2; pass++) {
            open = Pointer.totalCount();
            rounds(7 * 64 + 1, 4);
            Operator.of("aten::layer_norm", "", 6, 1);
            files(Path.of(System.getProperty("java.io.tmpdir")));
            RandomSource.seeded(1L << 40).close();
        }
        if (open == 0) {
            throw new AssertionError("JavaCPP counts nothing");
        }
        System.out.println("left open " + (Pointer.totalCount() - open));
    }

    private static void files(Path folder) throws IOException {
        for (String name : List.of("t.safetensors", "t.pt")) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor values = Torch.zeros(3, 4);
                TensorFile.write(
                        folder.resolve(name),
                        Map.of(),
                        List.of(new OutgoingTensor.Deferred("w", DType.FLOAT32, Shape.of(3, 4), () -> values)));
                try (TensorFile file = TensorFile.open(folder.resolve(name))) {
                    file.view("w").add(1);
                }
            }
        }
    }

    @Test
    void theProcessStaysAsLargeAsItWas() throws IOException {
        assumeTrue(
                Files.isReadable(STATUS) && residentBytes() >= 0,
                "only Linux shows a process its own memory, as RssAnon in /proc/self/status");
        // The heap and the compilers sometimes grow the process too, but only a leak grows it every time. Tensors are
        // large, so that a leak is larger than the heap's growth.
        rounds(ROUNDS, WIDE);
        long grown = Long.MAX_VALUE;
        for (int repeat = 0; repeat < 3; repeat++) {
            long before = residentBytes();
            rounds(ROUNDS, WIDE);
            grown = Math.min(grown, residentBytes() - before);
        }
        assertTrue(
                grown < ROUNDS * 2L * WIDE * Float.BYTES / 2,
                "grew by " + grown + " bytes in " + ROUNDS + " rounds: half a tensor " + "in each, or more");
    }

    private static long residentBytes() throws IOException {
        System.gc(); // so that the heap has the same size each time
        return Files.readAllLines(STATUS).stream()
                .filter(line -> line.startsWith("RssAnon:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024)
                .findFirst()
                .orElse(-1);
    }
}
