package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every published module has a descriptor, which exports the packages that docs/architecture.md lists for applications; and the
 * command runs on the module path.
 */
final class ModulesTest {
    private static final String ROOT = "org.metaflowmaps.";
    private static final List<String> LIBRARIES = List.of("bindings", "runtime", "models", "training", "steering");
    private static final String NATIVE_ACCESS =
            "org.bytedeco.javacpp,org.bytedeco.openblas,org.bytedeco.pytorch,org.metaflowmaps.bindings,org.metaflowmaps.runtime";
    private static final String PRETRAINED =
            "src/main/resources/org/metaflowmaps/cli/pretrained/fashion-mnist.safetensors";
    /** Prefixes of what only tests see. */
    private static final List<String> TEST_LIBRARIES =
            List.of("junit-", "opentest4j", "apiguardian-api", "surefire-", "archunit");

    private static final Map<String, ModuleDescriptor> DESCRIPTORS = descriptors();

    /** Descriptors of this library's jars, or folders of classes in a build that makes no jars, by name. */
    private static Map<String, ModuleDescriptor> descriptors() {
        return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(Path::of)
                .filter(ModulesTest::isMain)
                .flatMap(path -> ModuleFinder.of(path).findAll().stream())
                .map(ModuleReference::descriptor)
                .collect(Collectors.toMap(ModuleDescriptor::name, Function.identity()));
    }

    private static boolean isMain(Path entry) {
        String name = entry.getFileName().toString();
        return entry.endsWith(Path.of("target", "classes"))
                || (name.startsWith("metaflowmaps-") && !name.endsWith("-tests.jar"));
    }

    @TempDir
    private Path folder;

    private static ModuleDescriptor descriptor(String module) {
        return Objects.requireNonNull(DESCRIPTORS.get(ROOT + module), module);
    }

    @Test
    void everyModuleHasADescriptor() {
        Set<String> expected = new TreeSet<>(Set.of(ROOT + "kernels", ROOT + "cli"));
        LIBRARIES.forEach(module -> expected.add(ROOT + module));
        assertEquals(expected, new TreeSet<>(DESCRIPTORS.keySet()));
        DESCRIPTORS.values().forEach(module -> assertFalse(module.isAutomatic(), module.toString()));
    }

    /** Internal packages are exported to modules of this library, the others to everybody. */
    @Test
    void exportsAreTheDocumentedPackages() throws IOException {
        Map<String, String> documented = documentedPackages();
        for (String module : LIBRARIES) {
            ModuleDescriptor descriptor = descriptor(module);
            Set<String> open = new TreeSet<>();
            Set<String> internal = new TreeSet<>();
            descriptor.exports().forEach(export -> (export.isQualified() ? internal : open).add(export.source()));
            Set<String> openExpected = new TreeSet<>();
            Set<String> internalExpected = new TreeSet<>();
            documented.forEach((name, text) -> {
                if ((name + ".").startsWith(ROOT + module + ".")) {
                    (text.endsWith("; internal") ? internalExpected : openExpected).add(name);
                }
            });
            assertEquals(openExpected, open, module);
            assertEquals(internalExpected, internal, module);
        }
    }

    @Test
    void theCommandExportsNothing() {
        assertEquals(Set.of(), descriptor("cli").exports());
    }

    /** PyTorch's files need modules that only descriptors of this library require. */
    @Test
    void theCommandRunsOnTheModulePath() throws IOException, InterruptedException {
        Path network = folder.resolve("network.pt");
        run("convert", PRETRAINED, network.toString());
        assertTrue(run("inspect", network.toString()).contains("73 tensors"));
    }

    private String run(String... arguments) throws IOException, InterruptedException {
        String modulePath = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> {
                    String name = Path.of(entry).getFileName().toString();
                    return !name.equals("test-classes")
                            && !name.endsWith("-tests.jar")
                            && TEST_LIBRARIES.stream().noneMatch(name::startsWith);
                })
                .collect(Collectors.joining(File.pathSeparator));
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--module-path",
                modulePath,
                "--add-modules",
                "ALL-MODULE-PATH",
                "--enable-native-access=" + NATIVE_ACCESS,
                "--illegal-native-access=deny",
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                "-Dorg.metaflowmaps.threads=1",
                "--module",
                "org.metaflowmaps.cli/" + Mfm.class.getName()));
        command.addAll(List.of(arguments));
        Path output = folder.resolve("output");
        Path errors = folder.resolve("errors");
        Process child = new ProcessBuilder(command)
                .redirectOutput(output.toFile())
                .redirectError(errors.toFile())
                .start();
        try {
            assertTrue(child.waitFor(3, TimeUnit.MINUTES), "the command hangs");
        } finally {
            child.destroyForcibly();
        }
        assertEquals("", Files.readString(errors));
        assertEquals(0, child.exitValue());
        return Files.readString(output);
    }

    /** Packages, with what the list of modules and packages in docs/architecture.md says about each. */
    private static Map<String, String> documentedPackages() throws IOException {
        String text = Files.readString(Path.of("..", "docs", "architecture.md"));
        String list = text.substring(text.indexOf("```\ncli/"), text.indexOf("bom/"));
        Map<String, String> packages = new TreeMap<>();
        Pattern line = Pattern.compile("(?:([a-z]+)/)? +(\\(root\\)|\\.[a-z.]+)? *(.*)");
        String module = "";
        for (String each : list.lines().skip(1).toList()) {
            Matcher parts = line.matcher(each);
            assertTrue(parts.matches(), each);
            module = parts.group(1) == null ? module : parts.group(1);
            String name = parts.group(2);
            packages.put(ROOT + module + (name == null || name.equals("(root)") ? "" : name), parts.group(3));
        }
        return packages;
    }
}
