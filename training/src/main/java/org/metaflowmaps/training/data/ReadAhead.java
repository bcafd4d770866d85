package org.metaflowmaps.training.data;

import com.google.common.util.concurrent.Uninterruptibles;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads items on its own threads, in the order of a stream, so that they are usually ready when a batch needs them.
 *
 * <p>Results depend only on the requested position: a position that does not continue the last batch drops the items
 * read ahead. At most {@value #BATCHES_AHEAD} batches are read ahead. The threads use no tensors. For one caller.
 */
final class ReadAhead implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ReadAhead.class);
    private static final int BATCHES_AHEAD = 2;

    /** A stream of seeds that no epoch's order uses. */
    private static final long REPLACEMENTS = 0x7265706cL << 20;

    /** The number of replacements tried for a damaged item before reading fails. */
    private static final int TRIES = 100;

    /** The number of damaged items logged individually. */
    private static final int LOGGED = 20;

    private final EpochOrder order;
    private final Reader reader;
    private final Reading reading;
    private final int count;
    private final long seed;
    private final Set<Integer> damaged = new HashSet<>();
    private long replaced;
    private final @Nullable ExecutorService pool;
    private final List<Thread> threads = new CopyOnWriteArrayList<>();
    private final Deque<Item> ahead = new ArrayDeque<>();
    private long next;

    /**
     * Makes a reader of items by number.
     *
     * @param count the number of items
     * @param seed determines the order of every epoch
     * @param workers threads that read ahead; 0 to read on demand in the caller's thread
     * @param reader called from all of these threads
     */
    ReadAhead(int count, long seed, int workers, Reader reader) {
        this(count, seed, Reading.of(workers), reader);
    }

    /** Makes a reader of items by number that may replace damaged ones. */
    ReadAhead(int count, long seed, Reading reading, Reader reader) {
        this.order = new EpochOrder(count, seed, Device.CPU);
        this.reader = reader;
        this.reading = reading;
        this.count = count;
        this.seed = seed;
        int workers = reading.workers();
        ThreadFactory named =
                Thread.ofPlatform().daemon().name("data-loader-", 0).factory();
        this.pool = workers == 0
                ? null
                : Executors.newFixedThreadPool(workers, task -> {
                    Thread thread = named.newThread(task);
                    threads.add(thread);
                    return thread;
                });
    }

    /** Reads one item. */
    interface Reader {
        /**
         * Returns the bytes of the item with that number.
         * @throws DamagedItemException if the item is unusable; the message names its file
         * @throws IOException if reading failed for another reason
         */
        MemorySegment read(int index) throws IOException;
    }

    /** An item that is read ahead. */
    private record Item(Future<Found> found) {}

    /** The item used at one position: the planned one, or its replacement if it is damaged. */
    private static final class Found {
        private final int index;
        private final MemorySegment bytes;
        private final Map<Integer, DamagedItemException> passedOver;

        Found(int index, MemorySegment bytes, Map<Integer, DamagedItemException> passedOver) {
            this.index = index;
            this.bytes = bytes;
            this.passedOver = passedOver;
        }
    }

    /**
     * Reads the items after the first {@code position} ones.
     *
     * @param target their bytes, one after the other
     * @return their numbers
     * @throws UncheckedIOException if one cannot be read
     * @throws OutOfMemoryError if Java does not have enough memory for one
     */
    int[] read(long position, int wanted, MemorySegment target) {
        int[] numbers = new int[wanted];
        if (pool == null) {
            int[] indices = order.numbers(position, wanted);
            for (int i = 0; i < wanted; i++) {
                Found found = findHere(indices[i], position + i);
                count(found);
                numbers[i] = put(target, i, wanted, found);
            }
            return numbers;
        }
        if (position != next) {
            drop();
            next = position;
        }
        long end = next + ahead.size();
        int missing = wanted + wanted * BATCHES_AHEAD - ahead.size();
        if (missing > 0) {
            for (int index : order.numbers(end, missing)) {
                long place = end++;
                FutureTask<Found> task = new FutureTask<>((Callable<Found>) () -> find(index, place));
                pool.execute(task);
                ahead.add(new Item(task));
            }
        }
        for (int i = 0; i < wanted; i++) {
            Item item = ahead.remove();
            next++;
            Found found = wait(item);
            count(found);
            numbers[i] = put(target, i, wanted, found);
        }
        return numbers;
    }

    /**
     * Reads the first items in the caller's thread. Drops nothing that was read ahead and counts no damaged item.
     *
     * @param target their bytes, one after the other
     * @return their numbers
     * @throws UncheckedIOException if one cannot be read
     */
    int[] first(int wanted, MemorySegment target) {
        int[] numbers = new int[wanted];
        int[] indices = order.numbers(0, wanted);
        for (int i = 0; i < wanted; i++) {
            numbers[i] = put(target, i, wanted, findHere(indices[i], i));
        }
        return numbers;
    }

    private Found findHere(int index, long place) {
        try {
            return find(index, place);
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
    }

    /** Returns the number of damaged items replaced so far. */
    long replaced() {
        return replaced;
    }

    /**
     * Reads an item; if it is damaged, tries replacements drawn from the seed and its position, so that other batches
     * do not change.
     */
    private Found find(int index, long place) throws IOException {
        Map<Integer, DamagedItemException> passedOver = new LinkedHashMap<>();
        long draws = Seeds.of(Seeds.of(seed, REPLACEMENTS), place);
        int candidate = index;
        for (int attempt = 0; attempt <= TRIES; attempt++) {
            try {
                return new Found(candidate, reader.read(candidate), passedOver);
            } catch (DamagedItemException e) {
                if (!reading.skip()) {
                    throw e;
                }
                passedOver.put(candidate, e);
            }
            candidate = (int) Math.floorMod(Seeds.of(draws, attempt), (long) count);
        }
        throw new IOException(
                "the data's items are damaged, " + passedOver.size() + " were tried for one position; the first: "
                        + passedOver.values().iterator().next().getMessage());
    }

    private void count(Found found) {
        if (!found.passedOver.isEmpty()) {
            replaced++;
            found.passedOver.forEach(this::note);
        }
    }

    private static int put(MemorySegment target, int place, int wanted, Found found) {
        long size = target.byteSize() / wanted;
        target.asSlice(place * size, size).copyFrom(found.bytes);
        return found.index;
    }

    private void note(int index, DamagedItemException problem) {
        if (!damaged.add(index)) {
            return;
        }
        long most = (long) Math.ceil(reading.skipAtMost() * count);
        if (damaged.size() > most) {
            String message = damaged.size() + " of " + count + " items are damaged, more than data.skip_at_most = "
                    + reading.skipAtMost() + " allows (" + most + "); the last one: " + problem.getMessage();
            throw new UncheckedIOException(message, new IOException(message, problem));
        }
        if (damaged.size() <= LOGGED) {
            LOG.warn(
                    "warning: skipped: {}{}",
                    problem.getMessage(),
                    damaged.size() == LOGGED ? " (more are only counted)" : "");
        }
    }

    private static Found wait(Item item) {
        try {
            return item.found.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new UncheckedIOException(new InterruptedIOException("interrupted while an item was being read"));
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            if (cause instanceof OutOfMemoryError) {
                OutOfMemoryError here = new OutOfMemoryError(cause.getMessage());
                here.initCause(cause);
                throw here;
            }
            // Throw a new exception, so that its trace shows the caller.
            throw cause instanceof IOException failure
                    ? new UncheckedIOException(failure.getMessage(), failure)
                    : new IllegalStateException("a loader thread failed: " + cause, cause);
        }
    }

    private void drop() {
        for (Item item : ahead) {
            item.found.cancel(false);
        }
        ahead.clear();
    }

    /** Stops the threads and waits until they have ended. */
    @Override
    public void close() {
        drop();
        if (pool != null) {
            pool.shutdownNow();
            // A pool is terminated when its last thread has left it, which may be before that thread ends.
            threads.forEach(Uninterruptibles::joinUninterruptibly);
        }
        order.close();
    }
}
