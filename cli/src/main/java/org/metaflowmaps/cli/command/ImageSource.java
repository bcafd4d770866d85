package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.List;
import org.metaflowmaps.runtime.Tensor;

/** Images in a fixed order, read in parts, so that memory does not grow with their number. One thread at a time. */
interface ImageSource extends AutoCloseable {
    /** Returns what they are, for people. */
    String name();

    /** Returns a text that differs for other images. */
    String identity() throws IOException;

    /** Returns how they became whole numbers from 0 to 255. */
    String quantisation();

    /** Returns what may distort metrics, for people. */
    List<String> notes();

    /** Returns the number of images. */
    long count();

    /**
     * Reads the next images.
     *
     * @param most at least 1
     * @return uint8 (n, 3, height, width), in order, at most {@code most} images in all and at least one; several
     *     tensors if sizes differ; in the innermost open scope
     */
    List<Tensor> next(int most) throws IOException;

    /** Passes over the next images. */
    void skip(int images) throws IOException;

    @Override
    void close() throws IOException;
}
