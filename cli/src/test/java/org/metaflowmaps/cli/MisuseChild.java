package org.metaflowmaps.cli;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The process started by {@link MisuseTest}: announces and runs each case, and reports bad outcomes. */
final class MisuseChild {
    private static final long CASE_SECONDS = 120;
    /** A process keeps what recipes made, so it ends after this number of cases and another one continues. */
    private static final int MOST_CASES = 5000;

    private static volatile long began;

    private MisuseChild() {}

    /**
     * Arguments: a folder, the file to report to, the first case, and how often to race each call with close; 0 for no
     * races.
     */
    public static void main(String[] arguments) throws IOException {
        Path folder = Path.of(arguments[0]);
        int first = Integer.parseInt(arguments[2]);
        Files.createDirectories(folder.resolve("out"));
        MisuseRecipes.prepare(folder);
        try (PrintStream report =
                new PrintStream(new FileOutputStream(arguments[1], true), false, StandardCharsets.UTF_8)) {
            int rounds = Integer.parseInt(arguments[3]);
            List<MisuseCases.Case> cases = rounds == 0 ? MisuseCases.all() : MisuseCases.races();
            watch(report);
            int end = Math.min(cases.size(), first + MOST_CASES);
            for (int i = first; i < end; i++) {
                report.print("case " + i + " " + cases.get(i).name() + "\n");
                report.flush();
                began = System.nanoTime();
                String verdict = outcome(cases.get(i), folder, rounds);
                if (verdict != null) {
                    report.print("bad " + cases.get(i).name() + ": " + verdict.replace("\n", "\\n") + "\n");
                }
            }
            report.print(end == cases.size() ? "done\n" : "more " + end + "\n");
        }
        // Threads left by a case must not keep the process alive.
        Runtime.getRuntime().halt(0);
    }

    private static @Nullable String outcome(MisuseCases.Case one, Path folder, int rounds) {
        try {
            String verdict = rounds == 0 ? MisuseCases.run(one, folder) : null;
            for (int round = 0; round < rounds && verdict == null; round++) {
                verdict = MisuseCases.race(one, folder, 20_000 << (round % 5));
            }
            return verdict;
        } catch (RuntimeException | Error e) {
            return "thrown outside of the call: " + e + " " + List.of(e.getStackTrace());
        }
    }

    private static void watch(PrintStream report) {
        began = System.nanoTime();
        Thread watcher = new Thread(() -> {
            while (System.nanoTime() - began < CASE_SECONDS * 1_000_000_000L) {
                try {
                    Thread.sleep(500);
                } catch (InterruptedException e) {
                    return;
                }
            }
            report.print("hangs\n");
            report.flush();
            Runtime.getRuntime().halt(3);
        });
        watcher.setDaemon(true);
        watcher.start();
    }
}
