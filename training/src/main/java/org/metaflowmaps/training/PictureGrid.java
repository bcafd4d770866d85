package org.metaflowmaps.training;

import java.util.List;
import org.metaflowmaps.runtime.Shape;

/** Draws rows of small images; the {@code mfm} command has one, and an application may give another to {@link TrainingRun#pictures}. */
@FunctionalInterface
public interface PictureGrid {
    /**
     * One picture.
     *
     * @param item channels (1 or 3), height and width of each image
     * @param columns what is written above the images
     * @param labels what is written left of each row
     * @param rows the images of each row, one after the other, in [-1, 1]
     * @return a PNG file
     */
    byte[] png(Shape item, List<String> columns, List<String> labels, List<float[]> rows);
}
