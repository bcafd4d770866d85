package org.metaflowmaps.training.data;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;

/**
 * Settings of the data.
 *
 * @param kind which
 * @param folder the folder of its files; null for the images in this library
 * @param holdOut items not used for training: the last ones of IDX files, a share of each class of image files and
 *     latents
 * @param flip whether half of the images are mirrored left to right
 * @param onError the action for a damaged image file or latent
 * @param skipAtMost share of the items that may be skipped as damaged, rounded up
 * @param means a mixture's component centres
 * @param variance a mixture's component variance
 * @param size rows and columns to which image files are resized
 * @param crop how image files are cropped to a square
 * @param vae the file of an autoencoder that encodes image files to latents while they are read; null for pixels
 * @param channels of image files' items (1 or 3) or of latents; null for those that files of latents state
 * @param classes labels of IDX files and of latents are below this; null for those that files of latents state
 * @param scale the factor between an autoencoder's latents and items; null for the one that files of latents or of the
 *     autoencoder state
 * @param workers threads that read image files and latents ahead; 0 for none
 */
public record DataConfig(
        @JsonProperty("kind") Kind kind,
        @JsonProperty("folder") @Nullable String folder,
        @JsonProperty("hold_out") int holdOut,
        @JsonProperty("flip") boolean flip,
        @JsonProperty("on_error") OnError onError,
        @JsonProperty("skip_at_most") double skipAtMost,
        @JsonProperty("means") List<double[]> means,
        @JsonProperty("variance") double variance,
        @JsonProperty("size") int size,
        @JsonProperty("crop") SquareCrop crop,
        @JsonProperty("vae") @Nullable String vae,
        @JsonProperty("channels") @Nullable Integer channels,
        @JsonProperty("classes") @Nullable Integer classes,
        @JsonProperty("scale") @Nullable Double scale,
        @JsonProperty("workers") int workers) {
    private static final int MOST_WORKERS = 1024;
    private static final int GREY = 1;
    private static final int COLOURS = 3;
    private static final int DEFAULT_CLASSES = 10;

    /** Checks the ranges. */
    public DataConfig {
        given(kind, "data.kind");
        given(means, "data.means");
        require(
                means.stream().noneMatch(Objects::isNull),
                "data.means holds null, expected lists of numbers, such as %s",
                "[[-3, -3], [3, 3]]");
        for (double[] mean : means) {
            require(
                    Arrays.stream(mean).allMatch(Double::isFinite),
                    "data.means holds %s, expected finite numbers",
                    Arrays.toString(mean));
        }
        require(
                kind != Kind.MIXTURE || (variance > 0 && variance < Double.POSITIVE_INFINITY),
                "data.variance is %s, expected a number above 0",
                variance);
        require(holdOut >= 0, "data.hold_out is %s, expected 0 or more", holdOut);
        given(onError, "data.on_error");
        require(
                skipAtMost >= 0 && skipAtMost <= 1,
                "data.skip_at_most is %s, expected a share from 0 to 1",
                skipAtMost);
        require(
                !flip || kind != Kind.MIXTURE,
                "data.flip is true, but data.kind is %s: only images are mirrored",
                name(kind));
        require(size >= 1, "data.size is %s, expected at least 1", size);
        given(crop, "data.crop");
        require(vae == null || kind == Kind.IMAGES, "data.vae is %s, but data.kind is not images", vae);
        if (kind != Kind.LATENTS) {
            given(channels, "data.channels");
            given(classes, "data.classes");
            require(scale != null || vae != null, "%s is null, expected a value", "data.scale");
        }
        require(channels == null || channels >= 1, "data.channels is %s, expected at least 1", channels);
        require(
                kind != Kind.IMAGES || channels == null || channels == 1 || channels == 3,
                "data.channels is %s, expected 1 (grey) or 3 (colour)",
                channels);
        require(
                vae == null || (channels != null && channels == 3),
                "data.channels is %s, expected 3: data.vae encodes images of three colours",
                channels);
        require(
                kind != Kind.IMAGES || channels == null || (double) channels * size * size < Integer.MAX_VALUE,
                "data.size is %s, expected a size whose square times data.channels is below 2^31",
                size);
        require(classes == null || classes >= 1, "data.classes is %s, expected at least 1", classes);
        require(
                scale == null || (scale > 0 && scale < Double.POSITIVE_INFINITY),
                "data.scale is %s, expected a number above 0",
                scale);
        require(workers >= 0 && workers <= MOST_WORKERS, "data.workers is %s, expected 0 to " + MOST_WORKERS, workers);
        boolean folderNeeded = kind != Kind.FASHION_MNIST && kind != Kind.MIXTURE;
        require(
                !folderNeeded || folder != null,
                "data.folder is %s, expected the folder with the data's files: name it with --data DIR",
                folder);
    }

    /** Returns a builder with the default of every setting, as defaults.yaml has them. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .kind(kind)
                .folder(folder)
                .holdOut(holdOut)
                .flip(flip)
                .onError(onError)
                .skipAtMost(skipAtMost)
                .means(means)
                .variance(variance)
                .size(size)
                .crop(crop)
                .vae(vae)
                .channels(channels)
                .classes(classes)
                .scale(scale)
                .workers(workers);
    }

    /** The action for a damaged item. */
    public enum OnError {
        /** The run writes a checkpoint and fails. */
        @JsonProperty("stop")
        STOP,
        /** Another item replaces it; replacements are counted. */
        @JsonProperty("skip")
        SKIP
    }

    /** Kinds of data. To add one, add a line here and its {@link Items}. */
    public enum Kind {
        /** Images of clothing, 28×28, ten classes. */
        @JsonProperty("fashion-mnist")
        FASHION_MNIST(Kind.HELD_OUT_IN_MEMORY, Datasets.of(ImageData::open)),
        /** An exact Gaussian mixture. */
        @JsonProperty("mixture")
        MIXTURE(Kind.HELD_OUT_IN_MEMORY, MixtureData::open),
        /** Grey images with labels in IDX files. */
        @JsonProperty("idx")
        IDX(Kind.HELD_OUT_IN_MEMORY, Datasets.of(ImageData::open)),
        /** Folders of PNG and JPEG files, one per class. */
        @JsonProperty("images")
        IMAGES(0, Datasets::images),
        /** Latents of an autoencoder, in any layout of {@link LatentCaches}. */
        @JsonProperty("latents")
        LATENTS(0, Datasets.of(LatentCaches::open));

        private static final int HELD_OUT_IN_MEMORY = 500;

        private final int holdOut;

        @SuppressWarnings("ImmutableEnumChecker") // a reference to a static method
        private final Datasets.Opener opener;

        Kind(int holdOut, Datasets.Opener opener) {
            this.holdOut = holdOut;
            this.opener = opener;
        }

        /** Returns the default number of held-out items: 500 for sets in memory, none for sets read from a folder. */
        public int holdOut() {
            return holdOut;
        }
    }

    /** Opens the data. */
    TrainingData open(long seed, Device device) throws IOException {
        return kind.opener.open(this, seed, device);
    }

    /** Returns how its items are read. */
    Reading reading() {
        return new Reading(workers, holdOut, flip, onError == OnError.SKIP, skipAtMost);
    }

    /** Returns the channels of a kind of data that has them. */
    int knownChannels() {
        return Objects.requireNonNull(channels);
    }

    /** Returns the classes of a kind of data that has them. */
    int knownClasses() {
        return Objects.requireNonNull(classes);
    }

    /** Returns the folder of a kind of data that needs one. */
    Path path() {
        return Path.of(Objects.requireNonNull(folder));
    }

    private static void require(boolean holds, String template, @Nullable Object value) {
        Preconditions.checkArgument(holds, "config: " + template, value);
    }

    /** Checks for null, which a file may contain for any setting. */
    private static void given(@Nullable Object value, String name) {
        require(value != null, "%s is null, expected a value", name);
    }

    private static String name(Kind kind) {
        return kind.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private Kind kind = Kind.FASHION_MNIST;
        private @Nullable String folder;
        private @Nullable Integer holdOut;
        private boolean flip;
        private OnError onError = OnError.STOP;
        private double skipAtMost = 0.1;
        private List<double[]> means = List.of();
        private double variance = 0.5;
        private int size = 28;
        private SquareCrop crop = SquareCrop.ADM;
        private @Nullable String vae;
        private @Nullable Integer channels;
        private @Nullable Integer classes;
        private @Nullable Double scale;
        private int workers = 1;

        private Builder() {}

        /** Sets the kind of data. */
        public Builder kind(Kind kind) {
            this.kind = kind;
            return this;
        }

        /** Sets the folder of the files; null for the images in this library. */
        public Builder folder(@Nullable String folder) {
            this.folder = folder;
            return this;
        }

        /** Sets the number of held-out items; {@link Kind#holdOut} by default. */
        public Builder holdOut(int holdOut) {
            this.holdOut = holdOut;
            return this;
        }

        /** Sets whether half of the images are mirrored left to right. */
        public Builder flip(boolean flip) {
            this.flip = flip;
            return this;
        }

        /** Sets the action for a damaged image file or latent. */
        public Builder onError(OnError onError) {
            this.onError = onError;
            return this;
        }

        /** Sets the share of the items that may be skipped as damaged, rounded up. */
        public Builder skipAtMost(double skipAtMost) {
            this.skipAtMost = skipAtMost;
            return this;
        }

        /** Sets a mixture's component centres. */
        public Builder means(List<double[]> means) {
            this.means = means;
            return this;
        }

        /** Sets a mixture's component variance. */
        public Builder variance(double variance) {
            this.variance = variance;
            return this;
        }

        /** Sets the rows and columns to which image files are resized. */
        public Builder size(int size) {
            this.size = size;
            return this;
        }

        /** Sets how image files are cropped to a square. */
        public Builder crop(SquareCrop crop) {
            this.crop = crop;
            return this;
        }

        /** Sets the file of an autoencoder that encodes image files to latents; null for pixels. */
        public Builder vae(@Nullable String vae) {
            this.vae = vae;
            return this;
        }

        /** Sets the channels of image files' items (1 or 3) or of latents; null for those that their files state. */
        public Builder channels(@Nullable Integer channels) {
            this.channels = channels;
            return this;
        }

        /** Sets the number of classes of IDX files and of latents; null for those that files of latents state. */
        public Builder classes(@Nullable Integer classes) {
            this.classes = classes;
            return this;
        }

        /** Sets the factor between an autoencoder's latents and items; null for the one that files of latents state. */
        public Builder scale(@Nullable Double scale) {
            this.scale = scale;
            return this;
        }

        /** Sets the threads that read image files and latents ahead; 0 for none. */
        public Builder workers(int workers) {
            this.workers = workers;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range, or settings do not fit together
         */
        public DataConfig build() {
            given(kind, "data.kind");
            // Files of latents, or of an autoencoder, state these.
            boolean open = kind == Kind.LATENTS;
            boolean encoded = vae != null;
            return new DataConfig(
                    kind,
                    folder,
                    holdOut == null ? kind.holdOut() : holdOut,
                    flip,
                    onError,
                    skipAtMost,
                    means,
                    variance,
                    size,
                    crop,
                    vae,
                    channels == null && !open ? Integer.valueOf(encoded ? COLOURS : GREY) : channels,
                    classes == null && !open ? Integer.valueOf(DEFAULT_CLASSES) : classes,
                    scale == null && !open && !encoded ? Double.valueOf(LatentWish.DEFAULT_SCALE) : scale,
                    workers);
        }
    }
}
