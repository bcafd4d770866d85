package org.metaflowmaps.cli.command;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

/** How values of [-1, 1] become whole numbers from 0 to 255; names are those of options. */
enum Quantisation {
    /** To the nearest, as SiT and DiT do. */
    round(0.5, "floor(127.5 x + 128), clipped"),
    /** Down, as the public MFM code does; darker by half a level on average. */
    truncate(0, "floor(127.5 x + 127.5), clipped");

    private static final double LEVELS = 255;

    private final double added;
    private final String formula;

    Quantisation(double added, String formula) {
        this.added = added;
        this.formula = formula;
    }

    /** Converts images in [0, 1] to uint8, in the innermost open scope. */
    Tensor levels(Tensor images) {
        return images.mul(LEVELS).add(added).floor().to(DType.UINT8);
    }

    /** Returns the formula for values x of [-1, 1]. */
    String formula() {
        return formula;
    }
}
