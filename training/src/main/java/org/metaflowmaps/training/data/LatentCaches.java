package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/**
 * Opens folders of latents in the layouts of several projects, which are recognised by their files:
 *
 * <ul>
 *   <li>{@code mfm data encode}: {@value LatentManifest#NAME} and the safetensors files that it names
 *   <li>fast-DiT: {@code NAME_features/*.npy} and {@code NAME_labels/*.npy}
 *   <li>REPA: {@code dataset.json} and {@code .npy} files, in the folder, in {@code vae-sd}, or in a ZIP file
 *   <li>MeanFlow: {@code 00000000.pt} and so on, in the folder or in {@code train}
 *   <li>MAR: class folders of {@code .npz} files
 *   <li>LightningDiT and plain safetensors files with {@code latents} and {@code labels}
 * </ul>
 */
final class LatentCaches {
    private LatentCaches() {}

    /** The layouts. */
    enum Layout {
        MANIFEST("a folder of mfm data encode"),
        FAST_DIT("features and labels of fast-DiT"),
        REPA("means and deviations of REPA"),
        MEAN_FLOW("files of MeanFlow"),
        MAR("moments of MAR"),
        SHARDS("safetensors files");

        private final String title;

        Layout(String title) {
            this.title = title;
        }

        String title() {
            return title;
        }
    }

    /**
     * What a configuration needs to know about a folder.
     *
     * @param scale null if each channel has its own
     */
    record Description(
            long channels,
            long height,
            long width,
            int classes,
            @Nullable Double scale) {}

    /**
     * Finds the layout of a folder.
     *
     * @return empty for none
     * @throws IOException if the folder cannot be listed, or several layouts fit
     */
    static Optional<Layout> layout(Path folder) throws IOException {
        if (Files.isRegularFile(folder)) {
            return folder.toString().endsWith(".zip") ? Optional.of(Layout.REPA) : Optional.empty();
        }
        if (Files.isRegularFile(folder.resolve(LatentManifest.NAME))) {
            return Optional.of(Layout.MANIFEST);
        }
        List<Layout> found = new ArrayList<>();
        List<Path> entries = LatentFiles.list(folder);
        if (entries.stream().anyMatch(ShardFiles::isShard)) {
            found.add(Layout.SHARDS);
        }
        if (NpyLatents.fastDit(entries).isPresent()) {
            found.add(Layout.FAST_DIT);
        }
        if (RepaLatents.find(folder).isPresent()) {
            found.add(Layout.REPA);
        }
        if (TorchLatents.find(folder).isPresent()) {
            found.add(Layout.MEAN_FLOW);
        }
        if (found.isEmpty() && ZippedLatents.Each.present(entries)) {
            found.add(Layout.MAR);
        }
        if (found.size() > 1) {
            throw new IOException(folder + " holds latents in several layouts ("
                    + String.join(", ", found.stream().map(Layout::title).toList())
                    + "): move each into a folder of its own");
        }
        return found.stream().findFirst();
    }

    /** Opens the folder of a configuration. */
    static Items open(DataConfig config) throws IOException {
        return open(
                config.path(),
                config.channels(),
                config.classes(),
                config.scale(),
                config.flip(),
                config.onError() == DataConfig.OnError.SKIP);
    }

    /** Returns what a folder states; settings that are not null are checked against it. */
    static Description describe(DataConfig config) throws IOException {
        try (Items items = open(config.path(), config.channels(), config.classes(), config.scale(), false, true)) {
            Shape shape = items.itemShape();
            LatentScaling scaling = items.latents().orElseThrow();
            boolean normalised = scaling.scale().size() > 1;
            return new Description(
                    shape.size(0),
                    shape.size(1),
                    shape.size(2),
                    items.classes(),
                    normalised ? null : scaling.scale().getFirst());
        }
    }

    private static Items open(
            Path folder,
            @Nullable Integer channels,
            @Nullable Integer classes,
            @Nullable Double scale,
            boolean flip,
            boolean skip)
            throws IOException {
        Layout layout = layout(folder)
                .orElseThrow(() -> new IOException(folder + " holds no latents of a known layout: expected "
                        + LatentManifest.NAME + " of mfm data encode, .safetensors files with latents and labels,"
                        + " or files of fast-DiT, REPA, MeanFlow or MAR (docs/image-scale.md)"));
        LatentWish wish = new LatentWish(folder, classes, scale, flip, skip);
        Items items = switch (layout) {
            case MANIFEST -> manifest(wish);
            case SHARDS -> shards(wish, channels);
            case FAST_DIT -> NpyLatents.openFastDit(wish);
            case REPA -> RepaLatents.open(wish);
            case MEAN_FLOW -> TorchLatents.open(wish);
            case MAR -> ZippedLatents.Each.open(wish);
        };
        try {
            requireEqual(
                    folder, layout, "data.channels", channels, items.itemShape().size(0));
            return items;
        } catch (IOException | RuntimeException e) {
            items.close();
            throw e;
        }
    }

    private static void requireEqual(Path folder, Layout layout, String setting, @Nullable Number given, Number stated)
            throws IOException {
        if (given != null && given.doubleValue() != stated.doubleValue()) {
            throw new IOException(folder + ": " + setting + " is " + given + ", but " + layout.title() + " there state "
                    + stated + ": set it to that, or to null");
        }
    }

    private static Items manifest(LatentWish wish) throws IOException {
        Path folder = wish.folder();
        LatentManifest manifest = LatentManifest.read(folder);
        if (!manifest.isComplete()) {
            throw new IOException(folder + " is not finished: " + manifest.done() + " of " + manifest.images()
                    + " images are encoded. Run the same mfm data encode again; it continues");
        }
        requireEqual(
                folder,
                Layout.MANIFEST,
                "data.scale",
                wish.scale(),
                manifest.vae().scale());
        requireEqual(folder, Layout.MANIFEST, "data.classes", wish.classes(), manifest.classCount());
        ManifestShards.requireShards(manifest, folder);
        return new LatentShards(new ShardRequest(
                folder,
                manifest.shards().stream()
                        .map(shard -> folder.resolve(shard.file()))
                        .toList(),
                manifest.store().tensor(),
                manifest.store().form(),
                manifest.vae().channels(),
                manifest.classCount(),
                manifest.classes(),
                manifest.scaling(),
                wish.flip() && manifest.flips(),
                wish.skip()));
    }

    private static Items shards(LatentWish wish, @Nullable Integer channels) throws IOException {
        Path folder = wish.folder();
        List<Path> paths = ShardFiles.paths(folder);
        int known;
        boolean mirrored;
        try (SafetensorsFile first = SafetensorsFile.open(paths.getFirst())) {
            SafetensorsFile.Entry latents = ShardFiles.entry(paths.getFirst(), first, LatentShards.LATENTS);
            mirrored = first.entries().containsKey(LatentShards.LATENTS + LatentShards.MIRRORED);
            known = channels != null ? channels : stated(folder, latents, mirrored);
        }
        Integer classes = wish.classes();
        int count = classes != null ? classes : classes(paths);
        LatentScaling scaling = LatentStatistics.of(folder, known, wish.scale()).orElseGet(wish::scaling);
        return new LatentShards(new ShardRequest(
                folder,
                paths,
                LatentShards.LATENTS,
                null,
                known,
                count,
                List.of(),
                scaling,
                wish.flip() && mirrored,
                wish.skip()));
    }

    /** Returns the channels of items, if the files show whether they hold moments. */
    private static int stated(Path folder, SafetensorsFile.Entry latents, boolean lightning) throws IOException {
        long stored = latents.shape().dim() == 4 ? latents.shape().size(1) : 0;
        boolean clear = stored % 2 == 1 || lightning || LatentStatistics.present(folder);
        if (!clear || stored > Integer.MAX_VALUE) {
            throw new IOException(folder + ": latents are " + latents.shape() + ", which can be " + stored
                    + " channels, or means and log variances of " + stored / 2 + ": set data.channels");
        }
        return (int) stored;
    }

    private static int classes(List<Path> paths) throws IOException {
        long most = 0;
        for (Path path : paths) {
            try (SafetensorsFile open = SafetensorsFile.open(path)) {
                most = Math.max(
                        most,
                        Arrays.stream(ShardFiles.numbers(path, open, LatentShards.LATENTS))
                                .max()
                                .orElse(0));
            }
        }
        Preconditions.checkArgument(most < Integer.MAX_VALUE, "label %s is too large", most);
        return (int) most + 1;
    }
}
