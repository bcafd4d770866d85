package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * The result of one run of the command.
 *
 * @param code its exit code
 * @param out its standard output
 * @param err its standard error
 */
public record Command(int code, String out, String err) {
    /** A very fast network. */
    public static final List<String> TINY = List.of(
            "batch=4",
            "steps=4",
            "log_every=1",
            "checkpoint_every=2",
            "model.transformer.hidden_size=8",
            "model.transformer.depth=2",
            "model.transformer.num_heads=2",
            "model.transformer.encoder_depth=1",
            "model.transformer.patch_size=14",
            "optimizer.warm_up=0",
            "optimizer.decay=0");

    public static Command mfm(String... arguments) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        int code = Mfm.run(new PrintWriter(out), new PrintWriter(err), arguments);
        return new Command(code, out.toString(), err.toString());
    }

    /** Runs {@code mfm} with the tiny network's settings after the arguments. */
    public static Command tiny(String... arguments) {
        return mfm(Stream.concat(Stream.of(arguments), TINY.stream()).toArray(String[]::new));
    }

    public Command succeeded() {
        assertEquals("", err);
        assertEquals(0, code);
        return this;
    }

    /** Asserts exit code 1 and one line that begins with "error:" and contains all parts. */
    public void failed(String... parts) {
        assertEquals(1, code, this::toString);
        assertOneError(err.lines().toList(), 1, parts);
    }

    /** Asserts exit code 2, such a line, and a hint. */
    public void refused(String... parts) {
        assertEquals(2, code, this::toString);
        assertOneError(err.lines().toList(), 2, parts);
        assertTrue(err.lines().toList().getLast().matches("Try 'mfm.* --help'\\."), err);
    }

    private void assertOneError(List<String> lines, int count, String... parts) {
        assertEquals(count, lines.size(), err);
        assertTrue(lines.getFirst().startsWith("error: "), err);
        assertFalse(err.contains("\tat "), err);
        for (String part : parts) {
            assertTrue(lines.getFirst().contains(part), "'" + lines.getFirst() + "' lacks '" + part + "'");
        }
    }

    /** Starts {@code mfm} in a process of its own; the caller ends it. */
    public static Process start(Path output, List<String> arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                "-Dorg.metaflowmaps.threads=" + System.getProperty("org.metaflowmaps.threads", "1"),
                "-cp",
                System.getProperty("java.class.path"),
                Mfm.class.getName()));
        command.addAll(arguments);
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
    }

    /** Returns all files below a folder, by their paths within it. */
    public static List<String> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(Files::isRegularFile)
                    .map(file -> folder.relativize(file).toString())
                    .sorted()
                    .toList();
        }
    }
}
