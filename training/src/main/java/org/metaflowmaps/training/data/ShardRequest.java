package org.metaflowmaps.training.data;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;

/**
 * The safetensors files of latents to read.
 *
 * @param folder for messages
 * @param paths the files, in order
 * @param tensor the latents' name
 * @param form null to decide by the number of channels
 * @param channels of an item
 * @param classes labels are below this
 * @param mirrored whether to read the latents of mirrored images too
 * @param skip whether a label out of range makes its latent a damaged item; otherwise opening throws
 */
record ShardRequest(
        Path folder,
        List<Path> paths,
        String tensor,
        @Nullable LatentForm form,
        int channels,
        int classes,
        List<String> classNames,
        LatentScaling scaling,
        boolean mirrored,
        boolean skip) {}
