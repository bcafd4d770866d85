package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Reads every latent of a folder in another layout than plain safetensors files. */
final class LatentCheck {
    private LatentCheck() {}

    /** Returns what the folder holds, and the latents that training cannot use. */
    static DataCheck.Report of(Path folder, int most, DataCheck.Expected expected) throws IOException {
        List<String> problems = new ArrayList<>();
        List<String> summary = new ArrayList<>();
        if (Files.exists(folder.resolve(LatentManifest.NAME))) {
            LatentManifest manifest = LatentManifest.read(folder);
            for (LatentManifest.Shard shard : manifest.shards()) {
                Path file = folder.resolve(shard.file());
                if (Files.exists(file) && !Fingerprints.file(file).equals(shard.sha256())) {
                    problems.add(file + ": its SHA-256 is not the one in " + LatentManifest.NAME
                            + ": the file is damaged, or was changed");
                }
            }
            summary.add(folder + ": encoded by " + manifest.vae().file() + ", " + manifest.size() + " pixels; "
                    + manifest.skipped().size() + " images were skipped");
        }
        DataConfig config = DataConfig.builder()
                .kind(DataConfig.Kind.LATENTS)
                .folder(folder.toString())
                .channels(expected.channels())
                .classes(expected.classes())
                .onError(DataConfig.OnError.SKIP)
                .build();
        try (Items items = LatentCaches.open(config)) {
            // Results are in the order of the latents for any number of threads.
            IntStream.range(0, items.count())
                    .parallel()
                    .mapToObj(index -> problem(items, index))
                    .flatMap(Optional::stream)
                    .forEachOrdered(problems::add);
            summary.add(folder + ": " + items.summary(0));
        } catch (IOException e) {
            problems.add(String.valueOf(e.getMessage()));
        }
        return new DataCheck.Report(
                "latents", summary, problems.subList(0, Math.min(most, problems.size())), problems.size());
    }

    private static Optional<String> problem(Items items, int index) {
        try {
            MemorySegment row = Slot.row(items);
            items.read(index, row);
            return Optional.empty();
        } catch (IOException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }
}
