package org.metaflowmaps.cli.report;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.NavigableMap;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.metrics.MetricsLog;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.MissingNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/**
 * What a run's folder has recorded so far; the run may still write to it.
 *
 * @param folder the run's folder
 * @param log its metrics
 * @param configuration the text of its configuration; empty if the folder has no configuration
 * @param settings the same, parsed; a missing node if the folder has no configuration
 * @param pictures grids of samples by step
 */
record RunRecord(
        Path folder,
        List<MetricsLog.Entry> log,
        String configuration,
        JsonNode settings,
        NavigableMap<Long, Path> pictures) {
    /** The metric by which fine-tuning keeps its best checkpoint. */
    static final String SCORE = "average/independent_reward";

    private static final String BASE_SCORE = "base/independent_reward";
    private static final String BELOW_BEST = SCORE + "_below_best";
    private static final List<String> CONFIGURATIONS = List.of("finetune.yaml", "config.yaml");
    private static final String PICTURES = "samples";
    private static final Pattern PICTURE = Pattern.compile("step-(\\d{1,18})\\.png");
    private static final YAMLMapper YAML = YAMLMapper.builder().build();

    /**
     * Reads a folder.
     *
     * @throws IOException if it is not a run's folder, or a file is damaged
     */
    static RunRecord read(Path folder) throws IOException {
        Path metrics = folder.resolve(TrainingRun.METRICS);
        List<MetricsLog.Entry> log;
        try {
            log = MetricsLog.read(metrics);
        } catch (NoSuchFileException e) {
            throw new IOException(
                    folder + " has no " + TrainingRun.METRICS
                            + ": give the folder of a run of mfm train or mfm finetune",
                    e);
        }
        if (log.isEmpty()) {
            throw new IOException(metrics + " has no whole line yet: wait for the run's first step, see log_every");
        }
        for (String name : CONFIGURATIONS) {
            Path file = folder.resolve(name);
            if (Files.isRegularFile(file)) {
                String text = Files.readString(file, StandardCharsets.UTF_8);
                return new RunRecord(folder, log, text, parsed(file, text), pictures(folder));
            }
        }
        return new RunRecord(folder, log, "", MissingNode.getInstance(), pictures(folder));
    }

    private static JsonNode parsed(Path file, String text) throws IOException {
        try {
            return YAML.readTree(text);
        } catch (JacksonException e) {
            throw new IOException(file + " is not YAML: " + e.getOriginalMessage(), e);
        }
    }

    private static NavigableMap<Long, Path> pictures(Path folder) throws IOException {
        NavigableMap<Long, Path> found = new TreeMap<>();
        Path pictures = folder.resolve(PICTURES);
        if (Files.isDirectory(pictures)) {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(pictures, "*.png")) {
                for (Path file : files) {
                    Matcher name = PICTURE.matcher(String.valueOf(file.getFileName()));
                    if (name.matches()) {
                        found.put(Long.parseLong(name.group(1)), file);
                    }
                }
            }
        }
        return found;
    }

    /** Returns the folder's name. */
    String folderName() {
        Path name = folder.toAbsolutePath().normalize().getFileName();
        return name == null ? folder.toString() : name.toString();
    }

    /** Returns the folder's name, with the strength of a fine-tuning run. */
    String name() {
        return folderName() + strength().map(value -> " (λ = " + value + ")").orElse("");
    }

    /** Returns λ of a fine-tuning run. */
    Optional<String> strength() {
        JsonNode lambda = settings.path("lambda");
        return lambda.isNumber() ? Optional.of(lambda.asString().replaceFirst("\\.0$", "")) : Optional.empty();
    }

    /** Returns true for a fine-tuning run. */
    boolean isFineTuning() {
        return settings.path("kind").asString("").equals("fine-tuning")
                || !series("drift_distance").isEmpty();
    }

    /** Returns the steps of the whole run, if its configuration has them. */
    OptionalLong steps() {
        JsonNode steps = isFineTuning() ? settings.path("settings").path("steps") : settings.path("steps");
        return steps.isIntegralNumber() ? OptionalLong.of(steps.asLong()) : OptionalLong.empty();
    }

    /** Returns the last line. */
    MetricsLog.Entry last() {
        return log.getLast();
    }

    Series series(String metric) {
        return Series.of(log, metric);
    }

    /** Returns the names of all metrics that begin so, in the order of the log. */
    List<String> metrics(String prefix) {
        return log.stream()
                .flatMap(entry -> entry.values().keySet().stream())
                .filter(name -> name.startsWith(prefix) && !name.endsWith(Series.ERROR))
                .distinct()
                .toList();
    }

    /** Returns where the independent score was best. */
    Optional<Turning> turning() {
        return Turning.of(series(SCORE), series(BELOW_BEST));
    }

    /** Returns sentences about the independent score, beside the base's; empty if it was not measured. */
    Optional<String> conclusion() {
        Series base = series(BASE_SCORE);
        return turning()
                .map(turning -> turning.sentence()
                        + (base.isEmpty()
                                ? ""
                                : String.format(
                                        Locale.ROOT,
                                        " The base's is %.4f%s.",
                                        base.values()[0],
                                        turning.best() > base.values()[0] ? "" : ", which the run never exceeded")));
    }

    /**
     * Returns the steps of some pictures: that of the best score, the last, and others between.
     *
     * @param most how many, at least 2
     */
    List<Long> chosenPictures(int most) {
        List<Long> all = List.copyOf(pictures.keySet());
        if (all.size() <= most) {
            return all;
        }
        NavigableSet<Long> chosen = new TreeSet<>();
        turning().map(Turning::bestStep).filter(all::contains).ifPresent(chosen::add);
        chosen.add(all.getLast());
        for (int i = 0; i < most && chosen.size() < most; i++) {
            chosen.add(all.get((int) Math.round((double) i * (all.size() - 1) / (most - 1))));
        }
        return List.copyOf(chosen);
    }
}
