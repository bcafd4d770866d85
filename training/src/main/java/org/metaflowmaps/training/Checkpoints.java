package org.metaflowmaps.training;

import java.io.IOException;

/** Where a {@link Trainer} leaves its state. */
public interface Checkpoints {
    /** No checkpoints. */
    Checkpoints NONE = new Checkpoints() {
        @Override
        public void save(Progress progress) {
            // Nobody asked for any.
        }

        @Override
        public String kept() {
            return "This trainer writes no checkpoints";
        }
    };

    /**
     * Saves the state of the run.
     *
     * @throws IOException if it cannot be written; the last checkpoint is then as it was
     */
    void save(Progress progress) throws IOException;

    /** A sentence without its full stop that names the last checkpoint, or says that no checkpoint was written. */
    String kept();
}
