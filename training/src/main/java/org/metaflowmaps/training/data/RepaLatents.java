package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** REPA's means and deviations, which {@code dataset.json} gives their labels. */
final class RepaLatents {
    private static final String DATASET = "dataset.json";
    private static final String FOLDER = "vae-sd";
    private static final String ZIP = ".zip";
    private static final int MOST_BYTES = 1 << 28;
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private RepaLatents() {}

    /** Returns the folder or archive of latents. */
    static Optional<Path> find(Path folder) throws IOException {
        for (Path candidate : List.of(folder, folder.resolve(FOLDER), folder.resolve(FOLDER + ZIP))) {
            boolean plain =
                    Files.isRegularFile(candidate) && candidate.toString().endsWith(ZIP);
            if (plain || (Files.isRegularFile(candidate.resolve(DATASET)) && holdsNpy(candidate))) {
                return Optional.of(candidate);
            }
        }
        return Optional.empty();
    }

    /** Returns false for a folder of the images, which have such a file too. */
    private static boolean holdsNpy(Path folder) throws IOException {
        for (Path entry : LatentFiles.list(folder)) {
            if (entry.toString().endsWith(NpyLatents.ENDING)
                    || (Files.isDirectory(entry)
                            && !LatentFiles.ending(entry, NpyLatents.ENDING).isEmpty())) {
                return true;
            }
        }
        return false;
    }

    static Items open(LatentWish wish) throws IOException {
        Path found = find(wish.folder()).orElseThrow();
        ZipFile zip = Files.isRegularFile(found) ? new ZipFile(found.toFile()) : null;
        try {
            Map<String, Long> labels = labels(found, zip);
            List<String> names = labels.keySet().stream().sorted().toList();
            LatentFiles.Source source = zip == null
                    ? new NpyLatents(names.stream().map(found::resolve).toList())
                    : new ZippedLatents(found, zip, names);
            return wish.open(
                    LatentCaches.Layout.REPA,
                    source,
                    LatentForm.MEAN_STD,
                    names.stream().mapToLong(labels::get).toArray(),
                    List.of(),
                    false);
        } catch (IOException | RuntimeException e) {
            if (zip != null) {
                zip.close();
            }
            throw e;
        }
    }

    private static Map<String, Long> labels(Path found, @Nullable ZipFile zip) throws IOException {
        String place = found + (zip == null ? "/" : ", entry ") + DATASET;
        byte[] text =
                zip == null ? bounded(found.resolve(DATASET)) : ZippedLatents.entry(found, zip, DATASET, MOST_BYTES);
        JsonNode list;
        try {
            list = JSON.readTree(text).path("labels");
        } catch (JacksonException e) {
            throw new IOException(place + " is not JSON: " + e.getOriginalMessage(), e);
        }
        if (!list.isArray() || list.isEmpty()) {
            throw new IOException(place + " has no labels, expected a list of pairs of a file's name and its label");
        }
        Map<String, Long> labels = new HashMap<>();
        for (JsonNode pair : list) {
            String name = pair.path(0).asString("");
            boolean inside = name.endsWith(NpyLatents.ENDING)
                    && found.resolve(name).normalize().startsWith(found.normalize());
            if (!inside || !pair.path(1).isIntegralNumber()) {
                throw new IOException(place + " has the label " + pair + ", expected the name of a .npy file of this"
                        + " folder and a whole number");
            }
            if (labels.put(name, pair.path(1).asLong()) != null) {
                throw new IOException(place + " has several labels for " + name);
            }
        }
        return labels;
    }

    private static byte[] bounded(Path file) throws IOException {
        if (Files.size(file) > MOST_BYTES) {
            throw new IOException(file + " has " + Files.size(file) + " bytes, expected at most " + MOST_BYTES);
        }
        return Files.readAllBytes(file);
    }
}
