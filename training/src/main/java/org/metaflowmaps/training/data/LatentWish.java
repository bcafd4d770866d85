package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.vision.AutoencoderSettings;

/**
 * How a folder of another project's latents is to be read.
 *
 * @param classes labels are below this; null for those that are there
 * @param scale of items; null for the layout's own
 * @param flip whether the latents of mirrored images are wanted
 * @param skip whether a label out of range makes its latent a damaged item
 */
record LatentWish(
        Path folder, @Nullable Integer classes, @Nullable Double scale, boolean flip, boolean skip) {
    static final double DEFAULT_SCALE = AutoencoderSettings.STABLE_DIFFUSION.scale();

    /** Returns the scaling by the wanted scale, or that of Stable Diffusion's autoencoders. */
    LatentScaling scaling() {
        return LatentScaling.of(scale == null ? DEFAULT_SCALE : scale, 0);
    }

    /**
     * Opens files.
     *
     * @param form what their channels are
     * @param labels of the latents
     * @param classNames names of the classes, or none
     * @param hasMirrored whether they hold the latents of mirrored images
     */
    LatentFiles open(
            LatentCaches.Layout layout,
            LatentFiles.Source source,
            LatentForm form,
            long[] labels,
            List<String> classNames,
            boolean hasMirrored)
            throws IOException {
        return new LatentFiles(
                source,
                new LatentFiles.Description(
                        folder,
                        layout.title(),
                        form,
                        scaling(),
                        layout == LatentCaches.Layout.FAST_DIT,
                        labels,
                        count(labels, classNames),
                        classNames,
                        flip && hasMirrored,
                        hasMirrored),
                skip);
    }

    private int count(long[] labels, List<String> classNames) throws IOException {
        if (classes != null) {
            return classes;
        }
        long most = LongStream.of(labels).max().orElse(0);
        if (most >= Integer.MAX_VALUE) {
            throw new IOException(folder + ": label " + most + " is too large: set data.classes");
        }
        return classNames.isEmpty() ? (int) Math.max(0, most) + 1 : classNames.size();
    }
}
