package org.metaflowmaps.runtime.internal;

import java.lang.ref.Cleaner;
import java.lang.ref.WeakReference;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reports native objects whose Java object became unreachable before it was closed. They are not freed, because native
 * code may still use the memory and the program should learn of the leak.
 *
 * <p>The system property {@code org.metaflowmaps.leaks=trace} records where each object was made, which slows
 * everything down.
 */
public final class Leaks {
    /** The system property that chooses between counting and tracing. */
    public static final String PROPERTY = "org.metaflowmaps.leaks";

    private static final Logger LOG = LoggerFactory.getLogger(Leaks.class);
    private static final boolean TRACE = traced(System.getProperty(PROPERTY));
    private static final Cleaner CLEANER = Cleaner.create();
    private static final AtomicLong COUNT = new AtomicLong();
    private static final AtomicLong BYTES = new AtomicLong();
    /** Kept reachable, because JavaCPP frees unreachable objects if its collection is on. */
    private static final Queue<Object> LOST = new ConcurrentLinkedQueue<>();

    private static final Set<String> PLACES = ConcurrentHashMap.newKeySet();
    private static final Set<Ticket> WATCHED = ConcurrentHashMap.newKeySet();

    private Leaks() {}

    private static boolean traced(@Nullable String value) {
        if (value != null && !value.equals("trace") && !value.equals("count")) {
            LOG.warn("System property {} is \"{}\": expected count or trace; count is used", PROPERTY, value);
        }
        return "trace".equals(value);
    }

    /** Returns whether places are recorded. */
    public static boolean isTracing() {
        return TRACE;
    }

    /** Returns the caller's stack trace, if places are recorded. */
    public static @Nullable Throwable place() {
        return TRACE ? new Throwable("it was made here") : null;
    }

    /** Returns the number of objects lost since the start. */
    public static long count() {
        return COUNT.get();
    }

    /** Returns the bytes of the lost objects. */
    public static long bytes() {
        return BYTES.get();
    }

    /**
     * Watches an object until the returned ticket is settled.
     *
     * @param owner the Java object; the other arguments must not refer to it
     * @param what for the report, such as "a tensor"
     * @param held the native object, kept reachable until settled
     */
    public static Ticket watch(Object owner, String what, Object held, long bytes, @Nullable Throwable made) {
        Ticket ticket = new Ticket(owner, what, held, bytes, made);
        WATCHED.add(ticket);
        ticket.cleanable = CLEANER.register(owner, ticket);
        return ticket;
    }

    /** Returns the watched objects that are neither closed nor unreachable. */
    public static List<Object> watched() {
        return WATCHED.stream()
                .map(ticket -> ticket.owner.get())
                .filter(Objects::nonNull)
                .toList();
    }

    /** Counts and reports a lost object. */
    public static void report(String what, Object held, long bytes, @Nullable Throwable made) {
        LOST.add(held);
        BYTES.addAndGet(bytes);
        long count = COUNT.incrementAndGet();
        if (made != null) {
            StackTraceElement[] frames = made.getStackTrace();
            if (PLACES.add(Arrays.toString(frames))) {
                LOG.warn(
                        "{} of {} bytes was lost: it became unreachable before it was closed, so its native memory"
                                + " stays taken ({} lost so far; each place is shown once)",
                        what,
                        bytes,
                        count,
                        made);
            }
        } else if (Long.bitCount(count) == 1) {
            // Log the 1st, 2nd, 4th, 8th …, so that a leak in a loop does not fill the log.
            LOG.warn(
                    "{} of {} bytes was lost: it became unreachable before it was closed, so its native memory stays"
                        + " taken ({} lost so far). Close what was retained or kept out of all scopes; start Java with"
                        + " -D{}=trace to see where it was made",
                    what,
                    bytes,
                    count,
                    PROPERTY);
        }
    }

    /** One watched object; settled when it is closed. */
    public static final class Ticket implements Runnable {
        private final WeakReference<Object> owner;
        private final String what;
        private final Object held;
        private final long bytes;
        private final @Nullable Throwable made;
        private Cleaner.@Nullable Cleanable cleanable;
        private volatile boolean settled;

        private Ticket(Object owner, String what, Object held, long bytes, @Nullable Throwable made) {
            this.owner = new WeakReference<>(owner);
            this.what = what;
            this.held = held;
            this.bytes = bytes;
            this.made = made;
        }

        /** Ends the watch; the caller keeps the owner reachable until this returns. */
        public void settle() {
            settled = true;
            WATCHED.remove(this);
            if (cleanable != null) {
                cleanable.clean();
            }
        }

        @Override
        public void run() {
            if (!settled) {
                WATCHED.remove(this);
                report(what, held, bytes, made);
            }
        }
    }
}
