package org.metaflowmaps.training;

import java.io.IOException;

/** Saves the state of a {@link Trainer}. */
public interface Checkpoints {
    /** No checkpoints. */
    Checkpoints NONE = new Checkpoints() {
        @Override
        public void save(Progress progress) {
            // No checkpoints were requested.
        }

        @Override
        public String kept() {
            return "This trainer writes no checkpoints";
        }
    };

    /**
     * Saves the state of the run.
     *
     * @throws IOException if it cannot be written; the last checkpoint is then unchanged
     */
    void save(Progress progress) throws IOException;

    /** Returns a sentence without full stop that names the last checkpoint, or says that none was written. */
    String kept();
}
