package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ReadAheadTest {
    private static final int ITEMS = 50;

    private static int[] read(ReadAhead items, long position, int count) {
        byte[] target = new byte[2 * count];
        int[] numbers = items.read(position, count, MemorySegment.ofArray(target));
        for (int i = 0; i < count; i++) {
            assertEquals(numbers[i], target[2 * i]);
            assertEquals(-numbers[i], target[2 * i + 1]);
        }
        return numbers;
    }

    private static MemorySegment item(int index) {
        return MemorySegment.ofArray(new byte[] {(byte) index, (byte) -index});
    }

    /** Returns the threads that read ahead now. */
    static long threads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(Thread::isAlive)
                .filter(thread -> thread.getName().startsWith("data-loader-"))
                .count();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4})
    void readsEachItemOnceAndNotFarAhead(int workers) {
        AtomicInteger reads = new AtomicInteger();
        try (ReadAhead items = new ReadAhead(ITEMS, 1, workers, index -> {
            reads.incrementAndGet();
            return item(index);
        })) {
            for (int step = 0; step < 10; step++) {
                read(items, 5L * step, 5);
                assertTrue(
                        reads.get() >= 5 * (step + 1) && reads.get() <= 5 * (step + 3), reads + " after step " + step);
            }
        }
    }

    @Test
    void withoutWorkersTheCallerReadsWhatIsAskedFor() {
        AtomicInteger reads = new AtomicInteger();
        Set<Thread> readers = ConcurrentHashMap.newKeySet();
        try (ReadAhead items = new ReadAhead(ITEMS, 1, 0, index -> {
            reads.incrementAndGet();
            readers.add(Thread.currentThread());
            return item(index);
        })) {
            read(items, 0, 7);
            assertEquals(7, reads.get());
            assertEquals(Set.of(Thread.currentThread()), readers);
        }
    }

    @Test
    void jumpsGiveWhatTheyAskFor() {
        try (ReadAhead here = new ReadAhead(ITEMS, 1, 0, index -> item(index));
                ReadAhead ahead = new ReadAhead(ITEMS, 1, 3, index -> item(index))) {
            long[] positions = {0, 3, 6, 7, 7, 2, 1_000_003, 1_000_006, 48, 49, 0};
            for (long position : positions) {
                for (int count : new int[] {3, 1, 60}) {
                    assertArrayEquals(
                            read(here, position, count), read(ahead, position, count), count + " from " + position);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void failuresAreThoseOfTheBatchThatAsks(int workers) {
        IOException failure = new IOException("item 7 is broken");
        AtomicBoolean mended = new AtomicBoolean();
        try (ReadAhead order = new ReadAhead(ITEMS, 1, 0, index -> item(index));
                ReadAhead items = new ReadAhead(ITEMS, 1, workers, index -> {
                    if (index == 7 && !mended.get()) {
                        throw failure;
                    }
                    return item(index);
                })) {
            int failed = 0;
            for (int position = 0; position < ITEMS; position++) {
                int from = position;
                if (read(order, position, 1)[0] == 7) {
                    UncheckedIOException thrown = assertThrows(UncheckedIOException.class, () -> read(items, from, 1));
                    assertEquals("item 7 is broken", thrown.getMessage());
                    assertSame(failure, thrown.getCause());
                    assertThrows(UncheckedIOException.class, () -> read(items, from, 1));
                    mended.set(true);
                    assertEquals(7, read(items, from, 1)[0]);
                    mended.set(false);
                    failed++;
                } else {
                    read(items, position, 1);
                }
            }
            assertEquals(1, failed);
        }
    }

    @Test
    void errorsOfAnyKindComeThrough() {
        try (ReadAhead items = new ReadAhead(ITEMS, 1, 1, index -> {
            throw new OutOfMemoryError("no room");
        })) {
            OutOfMemoryError thrown = assertThrows(OutOfMemoryError.class, () -> read(items, 0, 1));
            assertTrue(String.valueOf(thrown.getMessage()).contains("no room"), thrown::toString);
        }
    }

    @Test
    void closingWaitsForItsThreads() {
        CountDownLatch begun = new CountDownLatch(1);
        AtomicBoolean interrupted = new AtomicBoolean();
        long before = threads();
        int first = first();
        ReadAhead items = new ReadAhead(ITEMS, 1, 2, index -> {
            if (index != first) {
                begun.countDown();
                try {
                    Thread.sleep(60_000);
                } catch (InterruptedException e) {
                    interrupted.set(true);
                }
            }
            return item(index);
        });
        assertFalse(threads() > before);
        read(items, 0, 1);
        await(begun);
        assertTrue(threads() > before);
        items.close();
        assertTrue(interrupted.get());
        assertTrue(threads() <= before);
        items.close();
    }

    private static int first() {
        try (ReadAhead items = new ReadAhead(ITEMS, 1, 0, index -> item(index))) {
            return read(items, 0, 1)[0];
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void anInterruptedCallerDoesNotWait() {
        CountDownLatch never = new CountDownLatch(1);
        try (ReadAhead items = new ReadAhead(ITEMS, 1, 1, index -> {
            try {
                never.await();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            return item(index);
        })) {
            Thread.currentThread().interrupt();
            assertThrows(UncheckedIOException.class, () -> read(items, 0, 1));
            assertTrue(Thread.interrupted());
        }
    }
}
