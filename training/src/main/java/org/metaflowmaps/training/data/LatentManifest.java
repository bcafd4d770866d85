package org.metaflowmaps.training.data;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.file.AtomicFile;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * The file {@value #NAME} of a folder of encoded images: how they were encoded, and which shards are whole.
 *
 * <p>A shard is listed once it is written, so that a killed run leaves no part that a reader takes for a whole one.
 *
 * @param format {@value #FORMAT}
 * @param version of this file's form, 1
 * @param vae the autoencoder
 * @param store what each shard holds
 * @param dtype element type, as in safetensors files
 * @param crop how images became squares
 * @param size rows and columns of the squares
 * @param flips whether the latents of mirrored images are stored too
 * @param seed of stored samples
 * @param classes names of the classes, by label; empty for a folder without class folders
 * @param images the number of image files
 * @param listing SHA-256 of the files' names in order
 * @param shards the whole shards, in order
 * @param skipped images that cannot be read, in order
 */
public record LatentManifest(
        @JsonProperty("format") String format,
        @JsonProperty("version") int version,
        @JsonProperty("vae") Vae vae,
        @JsonProperty("store") Store store,
        @JsonProperty("dtype") String dtype,
        @JsonProperty("crop") SquareCrop crop,
        @JsonProperty("size") int size,
        @JsonProperty("flips") boolean flips,
        @JsonProperty("seed") long seed,
        @JsonProperty("classes") List<String> classes,
        @JsonProperty("images") int images,
        @JsonProperty("listing") String listing,
        @JsonProperty("shards") List<Shard> shards,
        @JsonProperty("skipped") List<Skipped> skipped) {
    /** The file's name. */
    public static final String NAME = "latents.json";

    /** The value of {@code format}. */
    public static final String FORMAT = "metaflowmaps-latents";

    /** The key of the form of moments in a shard's metadata. */
    static final String FORM = "moments";

    private static final long MOST_BYTES = 1 << 28;
    static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
            .enable(SerializationFeature.INDENT_OUTPUT)
            .build();

    /** What shards hold. */
    public enum Store {
        /** Means and standard deviations, from which each epoch draws other latents. */
        @JsonProperty("moments")
        MOMENTS,
        /** One draw of each. */
        @JsonProperty("sample")
        SAMPLE;

        LatentForm form() {
            return this == MOMENTS ? LatentForm.MEAN_STD : LatentForm.SAMPLE;
        }

        /** Returns the tensor's name in a shard. */
        String tensor() {
            return this == MOMENTS ? LatentShards.MOMENTS : LatentShards.LATENTS;
        }
    }

    /**
     * The autoencoder.
     *
     * @param file its name
     * @param sha256 of its content
     * @param channels of its latents
     * @param factor ratio of the sides of images and latents
     * @param scale between its latents and items: (z - shift) · scale; shards hold unscaled ones
     * @param shift as for {@code scale}
     */
    public record Vae(
            @JsonProperty("file") String file,
            @JsonProperty("sha256") String sha256,
            @JsonProperty("channels") int channels,
            @JsonProperty("factor") int factor,
            @JsonProperty("scale") double scale,
            @JsonProperty("shift") double shift) {
        /** Checks the ranges. */
        public Vae {
            Preconditions.checkArgument(
                    channels >= 1 && factor >= 1 && channels <= 1 << 16 && factor <= 1 << 16,
                    "vae has %s channels and the factor %s, expected at least 1 of each",
                    channels,
                    factor);
            LatentScaling.of(scale, shift);
        }
    }

    /**
     * A whole shard.
     *
     * @param file its name in the folder
     * @param sha256 of the file
     * @param first the number of its first image
     * @param images image files that it stands for, with the skipped ones
     * @param count its latents
     */
    public record Shard(
            @JsonProperty("file") String file,
            @JsonProperty("sha256") String sha256,
            @JsonProperty("first") int first,
            @JsonProperty("images") int images,
            @JsonProperty("count") int count) {}

    /**
     * An image that cannot be read.
     *
     * @param file its name, with its class folder
     * @param reason why
     */
    public record Skipped(
            @JsonProperty("file") String file,
            @JsonProperty("reason") String reason) {}

    /** Checks that the parts fit together. */
    public LatentManifest {
        Preconditions.checkArgument(FORMAT.equals(format), "format is %s, expected %s", format, FORMAT);
        Preconditions.checkArgument(version == 1, "version is %s, expected 1: a newer mfm wrote it", version);
        Preconditions.checkNotNull(vae, "vae is null");
        Preconditions.checkNotNull(store, "store is null");
        Preconditions.checkNotNull(crop, "crop is null");
        Preconditions.checkArgument(
                size >= 1 && size % vae.factor == 0, "size is %s, expected a multiple of %s", size, vae.factor);
        classes = List.copyOf(classes);
        shards = List.copyOf(shards);
        skipped = List.copyOf(skipped);
        long next = 0;
        long missing = 0;
        for (Shard shard : shards) {
            Preconditions.checkArgument(
                    shard.first == next
                            && shard.images >= 1
                            && shard.count >= 0
                            && shard.count <= shard.images
                            && shard.file.equals(
                                    Path.of(shard.file).getFileName().toString()),
                    "shards: %s does not follow the one before, at image %s",
                    shard,
                    next);
            next += shard.images;
            missing += shard.images - shard.count;
        }
        Preconditions.checkArgument(next <= images, "shards hold %s images of %s", next, images);
        Preconditions.checkArgument(
                missing == skipped.size(), "shards lack %s images, but %s are skipped", missing, skipped.size());
    }

    /** Returns the number of images that are encoded or skipped. */
    public int done() {
        return shards.isEmpty() ? 0 : shards.getLast().first + shards.getLast().images;
    }

    /** Returns whether all images are encoded or skipped. */
    @JsonIgnore
    public boolean isComplete() {
        return done() == images;
    }

    /** Returns the number of latents. */
    public int count() {
        return done() - skipped.size();
    }

    /** Returns the number of classes, 1 without class folders. */
    int classCount() {
        return Math.max(1, classes.size());
    }

    /** Returns the scaling of the autoencoder's latents to items. */
    public LatentScaling scaling() {
        return LatentScaling.of(vae.scale, vae.shift);
    }

    /** Returns this manifest with one more shard. */
    LatentManifest with(Shard shard, List<Skipped> more) {
        return new LatentManifest(
                format,
                version,
                vae,
                store,
                dtype,
                crop,
                size,
                flips,
                seed,
                classes,
                images,
                listing,
                added(shards, List.of(shard)),
                added(skipped, more));
    }

    private static <T> List<T> added(List<T> list, List<T> more) {
        return Stream.concat(list.stream(), more.stream()).toList();
    }

    /** Returns this manifest without shards. */
    LatentManifest begun() {
        return new LatentManifest(
                format, version, vae, store, dtype, crop, size, flips, seed, classes, images, listing, List.of(),
                List.of());
    }

    /**
     * Reads a folder's manifest.
     *
     * @throws IOException if it is missing, or is not one
     */
    public static LatentManifest read(Path folder) throws IOException {
        Path file = folder.resolve(NAME);
        if (Files.size(file) > MOST_BYTES) {
            throw new IOException(file + " has " + Files.size(file) + " bytes, expected at most " + MOST_BYTES);
        }
        try {
            return JSON.readValue(Files.readString(file), LatentManifest.class);
        } catch (JacksonException e) {
            Throwable cause = e.getCause();
            throw new IOException(
                    file + " is not the manifest of a folder of latents: "
                            + (cause instanceof IllegalArgumentException || cause instanceof NullPointerException
                                    ? cause.getMessage()
                                    : e.getOriginalMessage()),
                    e);
        }
    }

    /** Writes the file atomically. */
    void write(Path folder) throws IOException {
        byte[] text = JSON.writeValueAsString(this).getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(folder.resolve(NAME), text.length, channel -> {
            ByteBuffer bytes = ByteBuffer.wrap(text);
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
        });
    }
}
