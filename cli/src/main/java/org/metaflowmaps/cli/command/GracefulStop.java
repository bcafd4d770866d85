package org.metaflowmaps.cli.command;

import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.TrainingRun;

/**
 * While open, Ctrl-C and SIGTERM end a training run between two steps, with a checkpoint and exit code 0.
 *
 * <p>Without it the JVM would tear libtorch down under the step that is still running in it.
 */
public final class GracefulStop implements AutoCloseable {
    private static volatile @Nullable GracefulStop stopped;

    private final CountDownLatch finished = new CountDownLatch(1);
    private volatile int code;
    private final Thread hook;

    GracefulStop(TrainingRun run) {
        hook = new Thread(
                () -> {
                    stopped = this;
                    run.stop();
                    try {
                        finished.await();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                    // The run's own thread may by now wait for this shutdown to end: only halt leaves from here with a
                    // code of its own.
                    Runtime.getRuntime().halt(code);
                },
                "stop");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Restores the JVM's own reaction to a stop. A stop that has begun waits for {@link #leave}. */
    @Override
    @SuppressWarnings("UnusedException")
    public void close() {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException shuttingDown) {
            // The hook is running or about to, and waits for the command to end: leave() must find it.
            stopped = this;
        }
    }

    /** Ends a stop that is under way with the command's exit code, after all that it had to say is said. */
    public static void leave(int code) {
        GracefulStop stop = stopped;
        if (stop != null) {
            stop.code = code;
            stop.finished.countDown();
        }
    }
}
