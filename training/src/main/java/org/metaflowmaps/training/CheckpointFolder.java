package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The checkpoints in a run's folder: {@code checkpoints/step-000001000.safetensors} and so on, each with its own
 * checksum, and {@value #CHECKPOINT} as a second name of the newest.
 *
 * <p>An old checkpoint is deleted only after the new one is complete. Only one run may write to a folder at a time.
 */
public final class CheckpointFolder {
    /** The newest checkpoint's name in a run's folder. */
    public static final String CHECKPOINT = "checkpoint.safetensors";

    private static final Logger LOG = LoggerFactory.getLogger(CheckpointFolder.class);
    private static final String FOLDER = "checkpoints";
    private static final Pattern NAME = Pattern.compile("step-(\\d{9,18})\\.safetensors");

    private final Path run;
    private final Path folder;
    private final Set<Path> damaged = new HashSet<>();

    /**
     * Makes the checkpoints of a run.
     *
     * @param run the run's folder; may be missing
     */
    public CheckpointFolder(Path run) {
        this.run = run;
        this.folder = run.resolve(FOLDER);
    }

    /** Writes one checkpoint's file. */
    @FunctionalInterface
    interface Writer {
        void write(Path file) throws IOException;
    }

    /** An open, undamaged checkpoint. */
    record Valid(Path file, SafetensorsFile open) implements AutoCloseable {
        @Override
        public void close() {
            open.close();
        }
    }

    /** Returns the path of the newest checkpoint. */
    public Path newest() {
        return run.resolve(CHECKPOINT);
    }

    /**
     * Returns true if the folder has no checkpoint.
     *
     * @throws IOException if the folder cannot be read
     */
    public boolean isEmpty() throws IOException {
        return !Files.exists(newest()) && byStep().isEmpty();
    }

    /**
     * Deletes all checkpoints and keeps all other files.
     *
     * @throws IOException if a checkpoint cannot be deleted
     */
    public void clear() throws IOException {
        Files.deleteIfExists(newest());
        for (Path file : byStep().values()) {
            Files.delete(file);
        }
    }

    /** Deletes temporary files that earlier killed runs left. */
    void deleteAbandoned() throws IOException {
        for (Path place : List.of(run, folder)) {
            if (Files.isDirectory(place)) {
                AtomicFile.deleteAbandoned(place);
            }
        }
    }

    /**
     * Writes the checkpoint of a step, then deletes older ones except the last, and those of later steps, which an
     * abandoned run left.
     *
     * @param keep the number of last checkpoints to keep, including this one
     * @param keepEvery keep checkpoints of multiples of this step forever; 0 for none
     * @throws IOException if it cannot be written; existing checkpoints are kept then
     */
    void save(long step, int keep, long keepEvery, Writer writer) throws IOException {
        Path file = folder.resolve(String.format(Locale.ROOT, "step-%09d.safetensors", step));
        writer.write(file);
        damaged.remove(file);
        AtomicFile.link(file, newest());
        NavigableMap<Long, Path> all = byStep();
        all.tailMap(step, false).values().forEach(CheckpointFolder::delete);
        int kept = 0;
        for (var entry : all.headMap(step, true).descendingMap().entrySet()) {
            boolean whole = !damaged.contains(entry.getValue());
            if (whole && kept < keep) {
                kept++;
            } else if (!whole || keepEvery == 0 || entry.getKey() % keepEvery != 0) {
                delete(entry.getValue());
                damaged.remove(entry.getValue());
            }
        }
    }

    /** Deletes an old checkpoint. Only logs a failure, because the new checkpoint is already stored. */
    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            LOG.warn("warning: the old checkpoint {} could not be deleted: {}", file, e.toString());
        }
    }

    /**
     * Opens the newest undamaged checkpoint; logs damaged ones.
     *
     * @return owned by the caller
     * @throws NoSuchFileException if there is no checkpoint
     * @throws IOException if all are damaged, with the reason for each
     */
    Valid newestValid() throws IOException {
        List<String> reasons = new ArrayList<>();
        Set<Path> steps = new HashSet<>(byStep().values());
        for (Path file : candidates()) {
            try {
                // Files of a step always have a checksum; the newest may be from an older version without checksums.
                SafetensorsFile open = steps.contains(file) ? Networks.openSealed(file) : Networks.openVerified(file);
                reasons.forEach(
                        reason -> LOG.warn("warning: a checkpoint is damaged, continuing from {}: {}", file, reason));
                return new Valid(file, open);
            } catch (IOException e) {
                damaged.add(file);
                reasons.add(String.valueOf(e.getMessage()));
            }
        }
        if (reasons.isEmpty()) {
            throw new NoSuchFileException(newest().toString(), null, "there is no checkpoint to continue from");
        }
        throw new IOException("no checkpoint in " + run + " can be used: " + String.join("; ", reasons)
                + ". Put an undamaged one there, or start a new run in another folder");
    }

    /** Makes {@link #newest} a name of the checkpoint from which a run continues. */
    void continueFrom(Path file) throws IOException {
        if (!Files.exists(newest()) || !Files.isSameFile(file, newest())) {
            AtomicFile.link(file, newest());
        }
    }

    /** Returns the checkpoints from which a run can continue, best first. */
    private List<Path> candidates() throws IOException {
        List<Path> files = new ArrayList<>(byStep().descendingMap().values());
        if (Files.exists(newest())) {
            for (Path file : files) {
                if (Files.isSameFile(file, newest())) {
                    return files;
                }
            }
            // A copy of the newest if hard links are not supported, or a checkpoint of an older version.
            files.add(Math.min(1, files.size()), newest());
        }
        return files;
    }

    private NavigableMap<Long, Path> byStep() throws IOException {
        NavigableMap<Long, Path> found = new TreeMap<>();
        if (!Files.isDirectory(folder)) {
            return Collections.emptyNavigableMap();
        }
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, "step-*.safetensors")) {
            for (Path file : files) {
                Matcher name = NAME.matcher(String.valueOf(file.getFileName()));
                if (name.matches()) {
                    found.put(Long.parseLong(name.group(1)), file);
                }
            }
        }
        return found;
    }
}
