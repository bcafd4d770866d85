package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.Libtorch;

/** The property {@code org.metaflowmaps.threads} sizes every native pool. */
class ThreadsTest {
    private static final Path TASKS = Path.of("/proc/self/task");

    /**
     * Prints the number of threads without a Java name before libtorch is loaded, and after work that a pool would
     * share.
     */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) throws IOException {
            long before = unnamed();
            Libtorch.load();
            try (RandomSource random = RandomSource.seeded(1);
                    TensorScope scope = TensorScope.open()) {
                Tensor square = random.normal(600, 600);
                square.matmul(square).exp().sum();
            }
            System.out.println(
                    "more " + (unnamed() - before) + " of " + Libtorch.info().threads());
        }

        /** Native threads have the program's name. */
        private static long unnamed() throws IOException {
            long count = 0;
            try (Stream<Path> tasks = Files.list(TASKS)) {
                for (Path task : tasks.toList()) {
                    count += Files.readString(task.resolve("comm")).strip().equals("java") ? 1 : 0;
                }
            }
            return count;
        }
    }

    private static String run(int threads) throws IOException, InterruptedException {
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-Dorg.metaflowmaps.threads=" + threads,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Child.class.getName())
                .redirectErrorStream(true)
                .start();
        String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, child.waitFor(), text);
        return text;
    }

    @Test
    void oneThreadMeansNoPoolAtAll() throws IOException, InterruptedException {
        assumeTrue(Files.isDirectory(TASKS), "this system does not list threads as files");
        String text = run(1);
        assertTrue(text.contains("more 0 of 1"), text);
    }

    @Test
    void moreThreadsMakePools() throws IOException, InterruptedException {
        assumeTrue(
                Files.isDirectory(TASKS) && Runtime.getRuntime().availableProcessors() > 1,
                "there are no threads to count");
        String text = run(2);
        assertTrue(text.matches("(?s).*more [1-9]\\d* of 2\\s*"), text);
    }
}
