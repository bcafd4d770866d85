package org.metaflowmaps.training;

import java.util.List;
import org.metaflowmaps.runtime.Shape;

/** Draws rows of small images; an application may pass its own to {@link TrainingRun#pictures}. */
@FunctionalInterface
public interface PictureGrid {
    /**
     * Draws one picture.
     *
     * @param item channels (1 or 3), height and width of each image
     * @param columns texts above the images
     * @param labels texts left of each row
     * @param rows the images of each row, one after the other, in [-1, 1]
     * @return a PNG file
     */
    byte[] png(Shape item, List<String> columns, List<String> labels, List<float[]> rows);
}
