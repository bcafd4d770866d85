package org.metaflowmaps.codestyle;

import com.palantir.javaformat.java.Formatter;
import com.palantir.javaformat.java.FormatterException;
import com.palantir.javaformat.java.JavaFormatterOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** Checks or applies the format of palantir-java-format to all Java sources: lines of at most 120 characters. */
public final class Format {
    private static final Formatter FORMATTER = Formatter.createFormatter(JavaFormatterOptions.builder()
            .style(JavaFormatterOptions.Style.PALANTIR)
            .build());

    private Format() {}

    /**
     * Runs the formatter; ends with exit code 1 if a check finds files in another format.
     *
     * @param arguments {@code check} or {@code apply}, then the folder of the repository
     */
    public static void main(String[] arguments) throws IOException, FormatterException {
        if (arguments.length != 2 || !List.of("check", "apply").contains(arguments[0])) {
            throw new IllegalArgumentException("expected: check FOLDER, or apply FOLDER");
        }
        Path root = Path.of(arguments[1]);
        List<Path> others = others(root, arguments[0].equals("apply"));
        others.forEach(file -> System.out.println(root.relativize(file)));
        if (arguments[0].equals("check") && !others.isEmpty()) {
            System.out.println(
                    others.size() + " files are not formatted. Run: mvn -pl codestyle verify -Dformat=apply");
            System.exit(1);
        }
    }

    /** Returns the unformatted sources under a folder, in order; with {@code apply} rewrites them. */
    static List<Path> others(Path root, boolean apply) throws IOException, FormatterException {
        List<Path> others = new ArrayList<>();
        for (Path file : sources(root)) {
            String text = Files.readString(file);
            String formatted = FORMATTER.formatSourceAndFixImports(text);
            if (!formatted.equals(text)) {
                others.add(file);
                if (apply) {
                    Files.writeString(file, formatted);
                }
            }
        }
        return others;
    }

    private static List<Path> sources(Path root) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            return files.filter(file -> file.toString().endsWith(".java"))
                    .filter(file -> root.relativize(file)
                            .toString()
                            .replace('\\', '/')
                            .matches("[^/]+/src/(main|test)/java/.*"))
                    .sorted()
                    .toList();
        }
    }
}
