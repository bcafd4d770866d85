package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.Tensor;

/** Images (B, C, H, W) as tokens (B, patches, D): one linear map of each patch, which is what a strided convolution does. */
public final class PatchEmbedding {
    private final int patch;
    private final Tensor kernel;
    private final long width;
    private final Linear linear;

    /**
     * A layer over {@code proj.weight} (D, C, patch, patch) and {@code proj.bias} (D).
     *
     * @param patch height and width of a patch; divides those of the images
     * @param weights the layer's own
     */
    public PatchEmbedding(int patch, Weights weights) {
        this.patch = patch;
        this.kernel = weights.get("proj.weight");
        this.width = kernel.size(0);
        this.linear = weights.linear("proj");
    }

    /** Images (B, C, H, W) as tokens (B, patches, D), row by row. */
    public Dual forward(Dual image) {
        long[] shape = image.primal().shape();
        long rows = shape[2] / patch;
        long columns = shape[3] / patch;
        Dual cut = image.reshape(shape[0], shape[1], rows, patch, columns, patch)
                .permute(0, 2, 4, 1, 3, 5)
                .reshape(shape[0], rows * columns, shape[1] * patch * patch);
        // Viewed at each call: a view made once would have no gradient graph of its own in every pass.
        return linear.exact(cut, kernel.reshape(width, -1));
    }
}
