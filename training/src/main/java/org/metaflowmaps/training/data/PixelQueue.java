package org.metaflowmaps.training.data;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Reads and crops images on several threads, in the order of a folder. For one caller. */
final class PixelQueue implements AutoCloseable {
    private final ImageTree images;
    private final EncodingSettings settings;
    private final ExecutorService pool;
    private final Deque<Future<Picture>> ahead = new ArrayDeque<>();
    private int next;

    /**
     * An image that was read.
     *
     * @param index its number
     * @param pixels (3, size, size) bytes; of no length if it cannot be read
     * @param skipped why it cannot be read
     */
    @SuppressWarnings("ArrayRecordComponent") // not compared
    record Picture(int index, byte[] pixels, Optional<LatentManifest.Skipped> skipped) {}

    /** Begins to read at an image. */
    PixelQueue(ImageTree images, EncodingSettings settings, int first) {
        this.images = images;
        this.settings = settings;
        this.next = first;
        this.pool = Executors.newFixedThreadPool(
                settings.workers(),
                Thread.ofPlatform().daemon().name("image-reader-", 0).factory());
    }

    /**
     * Returns the next image.
     *
     * @throws IOException if reading failed for another reason than the image
     */
    Picture take() throws IOException {
        int most = 2 * settings.batch() + settings.workers();
        while (next < images.count() && ahead.size() < most) {
            int index = next++;
            ahead.add(pool.submit(() -> read(index)));
        }
        try {
            return ahead.remove().get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while an image was being read");
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            if (cause instanceof OutOfMemoryError) {
                OutOfMemoryError here = new OutOfMemoryError(cause.getMessage());
                here.initCause(cause);
                throw here;
            }
            if (cause instanceof IOException) {
                throw new IOException(cause.getMessage(), cause);
            }
            throw new IllegalStateException("a thread that reads images failed: " + cause, cause);
        }
    }

    private Picture read(int index) throws IOException {
        Path file = images.file(index);
        try {
            byte[] pixels =
                    settings.crop().of(ImageFile.read(file, 3), settings.size()).bytes();
            return new Picture(index, pixels, Optional.empty());
        } catch (DamagedItemException | IllegalArgumentException e) {
            // An image of extreme sides cannot be cropped.
            String reason = String.valueOf(e.getMessage());
            String start = file + " ";
            return new Picture(
                    index,
                    new byte[0],
                    Optional.of(new LatentManifest.Skipped(
                            images.name(index), reason.startsWith(start) ? reason.substring(start.length()) : reason)));
        }
    }

    /** Stops the threads after the images that they are reading. */
    @Override
    public void close() {
        ahead.forEach(future -> future.cancel(false));
        pool.shutdownNow();
        pool.close();
    }
}
