package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import tools.jackson.databind.JsonNode;

/** Compares a manifest with the shards in its folder, and with other manifests. */
final class ManifestShards {
    private static final String LISTING = "listing";
    private static final String FIRST = "first";
    private static final String VAE = "vae_sha256";

    private ManifestShards() {}

    /** Returns the metadata of a shard. */
    static Map<String, String> metadata(LatentManifest manifest, int first) {
        return Map.of(
                "format",
                "pt",
                LatentManifest.FORM,
                manifest.store().form().label(),
                LISTING,
                manifest.listing(),
                VAE,
                manifest.vae().sha256(),
                FIRST,
                String.valueOf(first));
    }

    /**
     * Returns the first setting that differs between two manifests, such as {@code size is 256, was 512}; empty if one
     * continues the other.
     */
    static String difference(LatentManifest present, LatentManifest before) {
        JsonNode now = LatentManifest.JSON.valueToTree(present.begun());
        JsonNode then = LatentManifest.JSON.valueToTree(before.begun());
        for (Map.Entry<String, JsonNode> setting : now.properties()) {
            JsonNode old = then.path(setting.getKey());
            if (!setting.getValue().equals(old)) {
                return switch (setting.getKey()) {
                    case "listing", "images", "classes" ->
                        "the image files changed: " + present.images() + " now, " + before.images()
                                + " before, or their names differ";
                    case "vae" -> "the autoencoder is " + setting.getValue() + ", was " + old;
                    default -> setting.getKey() + " is " + setting.getValue() + ", was " + old;
                };
            }
        }
        return "";
    }

    /**
     * Checks that the listed shards are there, whole and of the manifest.
     *
     * @throws IOException if one is not
     */
    static void requireShards(LatentManifest manifest, Path folder) throws IOException {
        for (LatentManifest.Shard shard : manifest.shards()) {
            Path file = folder.resolve(shard.file());
            try (SafetensorsFile open = SafetensorsFile.open(file)) {
                SafetensorsFile.Entry entry =
                        ShardFiles.entry(file, open, manifest.store().tensor());
                boolean own = metadata(manifest, shard.first()).entrySet().stream()
                        .allMatch(text -> text.getValue().equals(open.metadata().get(text.getKey())));
                if (!own || entry.shape().dim() != 4 || entry.shape().size(0) != shard.count()) {
                    throw new IOException(file + " is not the shard that " + folder.resolve(LatentManifest.NAME)
                            + " names: its " + entry.name() + " are " + entry.shape() + ", expected " + shard.count()
                            + ", and its metadata " + metadata(manifest, shard.first()) + ": encode the images again");
                }
            }
        }
    }
}
