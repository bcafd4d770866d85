package org.metaflowmaps.training.data;

/** Follows {@link LatentEncoder}, and can stop it. */
public interface EncodingListener {
    /** Follows nothing. */
    EncodingListener NONE = done -> {};

    /**
     * Called once, before the first image.
     *
     * @param images the number of image files
     * @param done those that an earlier run has encoded or skipped
     */
    default void begin(int images, int done) {}

    /** Called after each batch with the number of images that are encoded or skipped. */
    void at(int done);

    /** Returns true to stop after the current batch; what is encoded is then stored. */
    default boolean isStopped() {
        return false;
    }
}
