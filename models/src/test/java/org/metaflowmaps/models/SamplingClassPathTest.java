package org.metaflowmaps.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * An application that loads and samples depends only on this module. Its class path is that of these tests without the
 * test libraries: no trainer, progress bar, image decoder, command line or logging back end.
 */
final class SamplingClassPathTest {
    private static final Set<String> MODULES =
            Set.of("metaflowmaps-bindings", "metaflowmaps-native", "metaflowmaps-runtime", "metaflowmaps-models");

    /** Declared and transitive dependencies of the modules. Add a name only if loading or sampling needs it. */
    private static final Set<String> LIBRARIES = Set.of(
            "javacpp",
            "openblas",
            "pytorch",
            "jspecify",
            "slf4j-api",
            "guava",
            "failureaccess",
            "listenablefuture",
            "error_prone_annotations",
            "j2objc-annotations",
            "commons-io",
            "commons-compress",
            "commons-codec",
            "commons-lang3",
            "jackson-core",
            "jackson-databind",
            "jackson-annotations",
            "pickle");

    /** Prefixes of artifacts that only tests use. */
    private static final List<String> TEST_LIBRARIES = List.of("junit-", "opentest4j", "apiguardian-api", "surefire-");

    @Test
    void theClassPathHoldsWhatSamplingNeedsAndNothingElse() {
        Set<String> found = artifacts(System.getProperty("java.class.path"));
        assertTrue(
                found.containsAll(MODULES) && found.contains("junit-jupiter-api"),
                "this is not Maven's class path of the tests: " + found);
        Set<String> others = new TreeSet<>(found);
        others.removeAll(MODULES);
        others.removeAll(LIBRARIES);
        others.removeIf(name -> TEST_LIBRARIES.stream().anyMatch(name::startsWith));
        assertEquals(Set.of(), others);
    }

    @Test
    void jarsAndFoldersAreNamedByTheirArtifact() {
        String path = Stream.of(
                        "/m2/me/tongfei/progressbar/0.10.2/progressbar-0.10.2.jar",
                        "/m2/commons-io/commons-io-2.22.0.jar",
                        "/m2/org/bytedeco/pytorch-2.13.0-1.5.14-linux-x86_64-gpu.jar",
                        "/m2/metaflowmaps-runtime-0.1.0-SNAPSHOT-tests.jar",
                        "/house/training/target/classes",
                        "/house/models/target/test-classes")
                .collect(Collectors.joining(File.pathSeparator));
        assertEquals(
                Set.of(
                        "progressbar",
                        "commons-io",
                        "pytorch",
                        "metaflowmaps-runtime",
                        "metaflowmaps-training",
                        "metaflowmaps-models"),
                artifacts(path));
    }

    /**
     * Returns the artifact names of a class path: a jar's name without its version, or the module of a folder of
     * classes.
     */
    private static Set<String> artifacts(String classPath) {
        return Arrays.stream(classPath.split(File.pathSeparator))
                .map(SamplingClassPathTest::artifact)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static String artifact(String entry) {
        Path path = Path.of(entry);
        String name = path.getFileName().toString();
        int count = path.getNameCount();
        return name.endsWith(".jar")
                ? name.replaceFirst("-\\d.*|\\.jar$", "")
                : count > 2 && path.getName(count - 2).toString().equals("target")
                        ? "metaflowmaps-" + path.getName(count - 3)
                        : entry;
    }
}
