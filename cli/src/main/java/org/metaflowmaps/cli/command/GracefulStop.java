package org.metaflowmaps.cli.command;

import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/**
 * While open, Ctrl-C and SIGTERM end a run between two steps: training with a checkpoint, steering with the samples so far;
 * exit code 0.
 *
 * <p>Without it the JVM would shut down libtorch during a running step.
 */
public final class GracefulStop implements AutoCloseable {
    private static volatile @Nullable GracefulStop stopped;

    private final CountDownLatch finished = new CountDownLatch(1);
    private volatile int code;
    private final Thread hook;

    /** Calls {@code stop}, such as {@code TrainingRun::stop}, on a signal. */
    GracefulStop(Runnable stop) {
        hook = new Thread(
                () -> {
                    stopped = this;
                    stop.run();
                    try {
                        finished.await();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                    // Only halt can end the JVM with a chosen code here, because other threads may wait for this
                    // shutdown.
                    Runtime.getRuntime().halt(code);
                },
                "stop");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Restores the JVM's default reaction to signals. A stop that has begun waits for {@link #leave}. */
    @Override
    @SuppressWarnings("UnusedException")
    public void close() {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException shuttingDown) {
            // The hook runs or will run, and waits for the command to end, so leave() must find this object.
            stopped = this;
        }
    }

    /** Ends a begun stop with the command's exit code, after all output is written. */
    public static void leave(int code) {
        GracefulStop stop = stopped;
        if (stop != null) {
            stop.code = code;
            stop.finished.countDown();
        }
    }
}
