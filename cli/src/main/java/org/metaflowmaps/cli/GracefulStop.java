package org.metaflowmaps.cli;

import java.util.concurrent.CountDownLatch;
import org.metaflowmaps.training.Trainer;

/**
 * While open, Ctrl-C and SIGTERM end a training run between two steps, with a checkpoint and exit code 0.
 *
 * <p>Without it the JVM would tear libtorch down under the step that is still running in it.
 */
final class GracefulStop implements AutoCloseable {
    private final CountDownLatch finished = new CountDownLatch(1);
    private final Thread hook;

    GracefulStop(Trainer trainer) {
        hook = new Thread(() -> {
            trainer.stop();
            try {
                finished.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            // The run's own thread may by now wait for this shutdown to end: only halt leaves from here with a code of its own.
            Runtime.getRuntime().halt(0);
        }, "stop");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Everything that has to be written is written. */
    @Override
    public void close() {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException shuttingDown) {
            finished.countDown();
        }
    }
}
