package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launcher script in a small checkout, with a Maven and a Java that only record their calls. */
final class LauncherTest {
    private static final Path SCRIPT = Path.of("..", "mfm");
    private static final List<String> TOOLS = List.of(
            "bash",
            "env",
            "cat",
            "cksum",
            "dirname",
            "find",
            "head",
            "locale",
            "ls",
            "mkdir",
            "rmdir",
            "mv",
            "readlink",
            "rm",
            "sleep",
            "sort",
            "touch");

    @TempDir
    private Path folder;

    private final Map<String, String> environment = new TreeMap<>();
    private Path checkout = Path.of("");
    private Path mfm = Path.of("");
    private Path tools = Path.of("");
    private Path builds = Path.of("");

    @BeforeEach
    void checkOut() throws IOException {
        assumeTrue(Files.isExecutable(Path.of("/bin/bash")), "there is no bash");
        folder = folder.toRealPath();
        checkout = Files.createDirectory(folder.resolve("my checkout"));
        mfm = Files.copy(SCRIPT, checkout.resolve("mfm"), StandardCopyOption.COPY_ATTRIBUTES);
        Files.writeString(checkout.resolve("pom.xml"), "pom");
        for (String module : List.of("cli", "runtime")) {
            Files.createDirectories(checkout.resolve(module).resolve("src/main"));
            Files.writeString(checkout.resolve(module).resolve("pom.xml"), "pom");
            Files.writeString(checkout.resolve(module).resolve("src/main/A.java"), "class A {}");
        }
        builds = folder.resolve("builds");
        Path jdk = folder.resolve("jdk/bin");
        script(jdk.resolve("javac"), "");
        script(
                jdk.resolve("java"),
                "if [[ $1 == -version ]]; then echo 'openjdk version \"25.0.1\"' >&2; exit; fi",
                "for word; do",
                "  if [[ $word == -XX:AOTCacheOutput=* ]]; then",
                "    echo made >>'" + folder.resolve("caches") + "'",
                "    ${FAKE_CACHE:-true} && echo classes >\"${word#*=}\"",
                "    exit",
                "  fi",
                "done",
                "printf '%s\\n' \"$@\" \"LC_ALL=${LC_ALL:-}\" \"in $PWD\"");
        tools = folder.resolve("tools");
        script(
                tools.resolve("mvn"),
                "echo \"$PWD\" >>'" + builds + "'",
                "mkdir -p cli/target/lib runtime/target/classes",
                "echo torn >runtime/target/classes/A.class",
                "${FAKE_BUILD:-true} || exit 1",
                "touch cli/target/lib/a.jar cli/target/metaflowmaps-cli-0.jar");
        for (String tool : TOOLS) {
            for (String bin : List.of("/usr/bin", "/bin")) {
                Path link = tools.resolve(tool);
                if (!Files.exists(link) && Files.isExecutable(Path.of(bin, tool))) {
                    script(link, "exec " + Path.of(bin, tool) + " \"$@\"");
                }
            }
        }
        environment.put("PATH", tools.toString());
        environment.put("JAVA_HOME", folder.resolve("jdk").toString());
        environment.put("LANG", "C.UTF-8");
    }

    private static void script(Path file, String... lines) throws IOException {
        Files.createDirectories(Objects.requireNonNull(file.getParent()));
        Files.writeString(file, "#!/bin/bash\n" + String.join("\n", lines) + "\n");
        assertTrue(file.toFile().setExecutable(true));
    }

    private record Run(int code, String text) {}

    private Process begin(Path from, Path command, String... arguments) throws IOException {
        List<String> words = new ArrayList<>(List.of(command.toString()));
        words.addAll(List.of(arguments));
        ProcessBuilder builder =
                new ProcessBuilder(words).directory(from.toFile()).redirectErrorStream(true);
        builder.environment().clear();
        builder.environment().putAll(environment);
        return builder.start();
    }

    private Run run(Path from, Path command, String... arguments) throws IOException, InterruptedException {
        Process process = begin(from, command, arguments);
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(2, TimeUnit.MINUTES));
        return new Run(process.exitValue(), text);
    }

    private Run runs() throws IOException, InterruptedException {
        Run run = run(folder, mfm, "sample", "a b");
        assertEquals(0, run.code, run.text);
        assertTrue(run.text.contains("\norg.metaflowmaps.cli/org.metaflowmaps.cli.Mfm\nsample\na b\n"), run.text);
        assertTrue(
                run.text.contains(checkout + "/cli/target/lib:" + checkout + "/cli/target/metaflowmaps-cli-0.jar"),
                run.text);
        return run;
    }

    private int builds() throws IOException {
        return Files.exists(builds) ? Files.readAllLines(builds).size() : 0;
    }

    @Test
    void buildsOnceAndAgainWhenASourceChanged() throws IOException, InterruptedException {
        runs();
        runs();
        assertEquals(List.of(checkout.toString()), Files.readAllLines(builds));
        Files.writeString(checkout.resolve("runtime/src/main/A.java"), "class A { int b; }");
        runs();
        assertEquals(2, builds());
        Files.delete(checkout.resolve("runtime/src/main/A.java"));
        runs();
        assertEquals(3, builds());
    }

    @Test
    void makesACacheOfClassesForEachJar() throws IOException, InterruptedException {
        String option = "\n-XX:AOTCache=" + checkout + "/cli/target/mfm.aot\n";
        assertTrue(runs().text.contains(option));
        assertTrue(runs().text.contains(option));
        assertEquals(1, Files.readAllLines(folder.resolve("caches")).size());
        assertEquals(List.of(), left());
        Thread.sleep(20);
        Files.writeString(checkout.resolve("cli/target/metaflowmaps-cli-0.jar"), "built by Maven itself");
        environment.put("FAKE_CACHE", "false");
        assertFalse(runs().text.contains("-XX:AOTCache="), "none could be made");
        assertFalse(runs().text.contains("-XX:AOTCache="));
        assertEquals(2, Files.readAllLines(folder.resolve("caches")).size(), "tried once for a jar");
        assertEquals(List.of(), left());
    }

    /** Temporary files of the launcher. */
    private List<String> left() throws IOException {
        return Command.files(checkout.resolve("cli/target")).stream()
                .filter(name -> name.startsWith(".aot"))
                .toList();
    }

    @Test
    void shortCommandsOnTheCpuAreNotOptimised() throws IOException, InterruptedException {
        String option = "-XX:TieredStopAtLevel=1";
        assertTrue(run(folder, mfm, "doctor").text.contains(option));
        assertFalse(run(folder, mfm, "train", "x.yaml").text.contains(option));
        assertFalse(run(folder, mfm, "sample", "a", "--device", "cuda:0").text.contains(option));
        environment.put("MFM_JAVA_OPTS", "-XX:TieredStopAtLevel=4");
        String text = run(folder, mfm, "doctor").text;
        assertTrue(text.indexOf("-XX:TieredStopAtLevel=4") > text.indexOf(option), "the last one holds");
    }

    @Test
    void followsLinksAndWritesNowhereElse() throws IOException, InterruptedException {
        Path bin = Files.createDirectories(folder.resolve("bin/cli/target/lib"));
        Files.writeString(bin.resolve("mine.jar"), "mine");
        Path other = Files.createDirectory(folder.resolve("other"));
        Files.createSymbolicLink(other.resolve("again"), Path.of("../my checkout/mfm"));
        Path link = Files.createSymbolicLink(folder.resolve("bin/mfm"), Path.of("../other/again"));
        Run run = run(other, link, "doctor");
        assertEquals(0, run.code, run.text);
        assertEquals(List.of(checkout.toString()), Files.readAllLines(builds));
        assertEquals("mine", Files.readString(bin.resolve("mine.jar")));
        assertTrue(
                run.text.contains("in " + other + "\n") && run.text.contains("-Dorg.metaflowmaps.command=" + link),
                run.text);
        assertEquals(List.of("again"), Command.files(other));
    }

    @Test
    void aCopyOfTheScriptAloneIsRefused() throws IOException, InterruptedException {
        Path alone = Files.copy(
                mfm, Files.createDirectory(folder.resolve("alone")).resolve("mfm"), StandardCopyOption.COPY_ATTRIBUTES);
        Run run = run(folder, alone, "doctor");
        assertEquals(1, run.code);
        assertTrue(run.text.contains("is not a checkout"), run.text);
        assertEquals(0, builds());
    }

    @Test
    void aCopiedTreeRunsAsItIs() throws IOException, InterruptedException {
        runs();
        Path copy = folder.resolve("copy");
        try (Stream<Path> files = Files.walk(checkout)) {
            // Copy the build outputs first, so that the sources are newer.
            for (Path file : files.sorted((one, two) -> Boolean.compare(
                            two.toString().contains("target"), one.toString().contains("target")))
                    .toList()) {
                Path target = copy.resolve(checkout.relativize(file));
                if (Files.isRegularFile(file)) {
                    Files.createDirectories(Objects.requireNonNull(target.getParent()));
                    Files.copy(file, target);
                    assertTrue(target.toFile().setExecutable(true));
                }
            }
        }
        Thread.sleep(20);
        for (String module : List.of("cli", "runtime")) {
            Path source = copy.resolve(module).resolve("src/main/A.java");
            Files.writeString(source, Files.readString(source));
        }
        checkout = copy;
        mfm = copy.resolve("mfm");
        runs();
        assertEquals(1, builds(), "the contents are the same");
    }

    @Test
    void aTreeThatMayNotBeWritten() throws IOException, InterruptedException {
        runs();
        Path target = checkout.resolve("cli/target");
        assumeTrue(target.toFile().setWritable(false) && !Files.isWritable(target), "this user may write everywhere");
        try {
            runs();
            Files.writeString(checkout.resolve("runtime/src/main/A.java"), "class A { int b; }");
            assertTrue(runs().text.contains("running the existing build"));
            assertEquals(1, builds());
        } finally {
            assertTrue(target.toFile().setWritable(true));
        }
    }

    @Test
    void aBuildThatFailedOrWasKilledIsDoneAgainFromTheStart() throws IOException, InterruptedException {
        environment.put("FAKE_BUILD", "false");
        Run failed = run(folder, mfm, "doctor");
        assertEquals(1, failed.code);
        assertTrue(failed.text.contains("the build failed"), failed.text);
        environment.put("FAKE_BUILD", "sleep 60");
        Process killed = begin(folder, mfm, "doctor");
        while (builds() < 2) {
            Thread.sleep(5);
        }
        killed.descendants().forEach(ProcessHandle::destroyForcibly);
        killed.destroyForcibly().waitFor();
        Path torn = checkout.resolve("runtime/target/classes/B.class");
        // The build may have been killed before it created the folder.
        Files.createDirectories(torn.getParent());
        Files.writeString(torn, "torn");
        environment.remove("FAKE_BUILD");
        runs();
        assertEquals(3, builds());
        assertFalse(Files.exists(torn), "classes of the interrupted build are compiled again");
    }

    private void oneAtATime() throws IOException, InterruptedException {
        environment.put("FAKE_BUILD", "sleep 1");
        List<Process> processes = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            processes.add(begin(folder, mfm, "doctor"));
        }
        for (Process process : processes) {
            String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertEquals(0, process.waitFor(), text);
        }
        assertEquals(1, builds());
        Files.delete(checkout.resolve("cli/target/.built"));
        runs();
        assertEquals(2, builds());
        assertFalse(Files.exists(checkout.resolve("cli/target/.lock.pid")));
    }

    @Test
    void oneBuildsAndTheOthersWait() throws IOException, InterruptedException {
        Path flock = Path.of("/usr/bin/flock");
        assumeTrue(Files.isExecutable(flock), "there is no flock");
        script(tools.resolve("flock"), "exec " + flock + " \"$@\"");
        oneAtATime();
    }

    @Test
    void oneBuildsAndTheOthersWaitWithoutFlock() throws IOException, InterruptedException {
        // A killed process left it; no process has this number.
        Path target = Files.createDirectories(checkout.resolve("cli/target"));
        Files.writeString(target.resolve(".lock.pid"), "99999999\n");
        oneAtATime();
    }

    @Test
    void aLocaleWithoutUnicodeIsReplaced() throws IOException, InterruptedException {
        environment.put("LANG", "C");
        String text = runs().text;
        assertTrue(
                text.contains("\nLC_ALL=C.UTF-8\n")
                        || text.contains("\nLC_ALL=C.utf8\n")
                        || text.contains("\nLC_ALL=en_US."),
                text);
        environment.put("LANG", "C.UTF-8");
        assertTrue(runs().text.contains("\nLC_ALL=\n"));
    }
}
