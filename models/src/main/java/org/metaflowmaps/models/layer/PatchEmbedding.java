package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/**
 * Embeds images (B, C, H, W) as tokens (B, patches, D): one linear map of each patch, equal to a strided convolution.
 */
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

    /** Converts images (B, C, H, W) to tokens (B, patches, D), row by row. */
    public Dual forward(Dual image) {
        Shape shape = image.primal().shape();
        long rows = shape.size(2) / patch;
        long columns = shape.size(3) / patch;
        Dual cut = image.reshape(shape.size(0), shape.size(1), rows, patch, columns, patch)
                .permute(0, 2, 4, 1, 3, 5)
                .reshape(shape.size(0), rows * columns, shape.size(1) * patch * patch);
        // Make the view at each call, because every pass needs it in its own gradient graph.
        return linear.exact(cut, kernel.reshape(width, -1));
    }
}
