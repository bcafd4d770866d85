package org.metaflowmaps.training.data;

import com.google.common.util.concurrent.Uninterruptibles;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadFactory;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Reads items on threads of its own, in the order in which a stream will want them, so that a batch mostly finds them ready.
 *
 * <p>What is read depends only on the position asked for: a position that does not follow on the last batch drops what was read
 * ahead. At most {@value #BATCHES_AHEAD} batches are kept beside the one asked for. The threads touch no tensor. For one caller.
 */
final class ReadAhead implements AutoCloseable {
    private static final int BATCHES_AHEAD = 2;

    private final EpochOrder order;
    private final Reader reader;
    private final @Nullable ExecutorService pool;
    private final List<Thread> threads = new CopyOnWriteArrayList<>();
    private final Deque<Item> ahead = new ArrayDeque<>();
    private long next;

    /**
     * Items by their numbers.
     *
     * @param count how many there are
     * @param seed determines the order of every epoch
     * @param workers threads that read ahead; 0 to read in the caller's thread, when asked
     * @param reader called from all of these threads
     */
    ReadAhead(int count, long seed, int workers, Reader reader) {
        this.order = new EpochOrder(count, seed, Device.CPU);
        this.reader = reader;
        ThreadFactory named = Thread.ofPlatform().daemon().name("data-loader-", 0).factory();
        this.pool = workers == 0 ? null : Executors.newFixedThreadPool(workers, task -> {
            Thread thread = named.newThread(task);
            threads.add(thread);
            return thread;
        });
    }

    /** Reads one item. */
    interface Reader {
        /**
         * Bytes of the item with that number.
         *
         * @throws IOException if it cannot be read; the message names its file
         */
        byte[] read(int index) throws IOException;
    }

    private record Item(int index, Future<byte[]> bytes) {}

    /**
     * Reads the items that follow on the first {@code position} ones.
     *
     * @param target their bytes, one after the other
     * @return their numbers
     * @throws UncheckedIOException if one cannot be read
     */
    int[] read(long position, int count, MemorySegment target) {
        if (pool == null) {
            return readHere(indices(position, count), target);
        }
        if (position != next) {
            drop();
            next = position;
        }
        long end = next + ahead.size();
        int wanted = count + count * BATCHES_AHEAD - ahead.size();
        if (wanted > 0) {
            for (int index : indices(end, wanted)) {
                FutureTask<byte[]> task = new FutureTask<>((Callable<byte[]>) () -> reader.read(index));
                pool.execute(task);
                ahead.add(new Item(index, task));
            }
        }
        int[] numbers = new int[count];
        for (int i = 0; i < count; i++) {
            Item item = ahead.remove();
            next++;
            numbers[i] = item.index;
            put(target, i, count, wait(item));
        }
        return numbers;
    }

    private int[] readHere(int[] indices, MemorySegment target) {
        for (int i = 0; i < indices.length; i++) {
            try {
                put(target, i, indices.length, reader.read(indices[i]));
            } catch (IOException e) {
                throw new UncheckedIOException(e.getMessage(), e);
            }
        }
        return indices;
    }

    private static void put(MemorySegment target, int place, int count, byte[] bytes) {
        long size = target.byteSize() / count;
        target.asSlice(place * size, size).copyFrom(MemorySegment.ofArray(bytes));
    }

    private int[] indices(long position, int count) {
        try (TensorScope scope = TensorScope.open()) {
            return Arrays.stream(order.indices(position, count).toLongArray()).mapToInt(Math::toIntExact).toArray();
        }
    }

    private static byte[] wait(Item item) {
        try {
            return item.bytes.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new UncheckedIOException(new InterruptedIOException("interrupted while an item was being read"));
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            // Thrown anew here, so that the trace shows who asked.
            throw cause instanceof IOException failure ? new UncheckedIOException(failure.getMessage(), failure)
                    : new IllegalStateException("a loader thread failed: " + cause, cause);
        }
    }

    private void drop() {
        for (Item item : ahead) {
            item.bytes.cancel(false);
        }
        ahead.clear();
    }

    /** Ends the threads, and comes back when they have ended. */
    @Override
    public void close() {
        drop();
        if (pool != null) {
            pool.shutdownNow();
            // A pool counts as ended when its last thread has left it, which may be a while before that thread is gone.
            threads.forEach(Uninterruptibles::joinUninterruptibly);
        }
        order.close();
    }
}
