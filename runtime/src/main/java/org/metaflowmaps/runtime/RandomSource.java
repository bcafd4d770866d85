package org.metaflowmaps.runtime;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.StableAbi;
import org.metaflowmaps.runtime.internal.Leaks;

/**
 * A seeded stream of random tensors: the same seed, calls and device give the same numbers.
 *
 * <p>Each source has its own state, separate from libtorch's global generator. Results belong to the innermost open
 * {@link TensorScope}. The caller closes the source; later use throws {@link IllegalStateException}.
 *
 * <p>Thread safety: one thread at a time. A call during another thread's call throws {@link IllegalStateException},
 * because each thread's numbers would depend on timing. Any thread may close the source; closing waits until the
 * running call returns.
 */
public final class RandomSource implements AutoCloseable {
    private static final VarHandle USER;
    private static final VarHandle CLOSED;

    static {
        try {
            USER = MethodHandles.lookup().findVarHandle(RandomSource.class, "user", Thread.class);
            CLOSED = MethodHandles.lookup().findVarHandle(RandomSource.class, "closed", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Device device;
    private final Generator generator;
    private final GeneratorOptional optional;
    private final Leaks.Ticket ticket;
    private volatile @Nullable Thread user;
    private volatile boolean closed;

    private RandomSource(Device device, Generator generator) {
        this.device = device;
        this.generator = generator;
        this.optional = new GeneratorOptional(generator);
        this.ticket = Leaks.watch(this, "a RandomSource", generator, 0, Leaks.place());
    }

    /**
     * Returns a source of CPU tensors.
     *
     * @param seed all 64 bits count; seeds from 0 to 2³² - 1 give the numbers of PyTorch's {@code manual_seed}
     */
    public static RandomSource seeded(long seed) {
        return seeded(seed, Device.CPU);
    }

    /**
     * Returns a source that draws on a device; for the same seed a GPU's numbers differ from the CPU's.
     *
     * @param seed as for {@link #seeded(long)}
     */
    public static RandomSource seeded(long seed, Device device) {
        Handles.initialise();
        if (Operands.present("seeded", "device", device).type() == Device.Type.CPU) {
            Generator own = torch.make_generator_cpu(seed);
            if (seed >>> 32 != 0) {
                spread(own, seed);
            }
            return new RandomSource(device, own);
        }
        Generator own =
                torch.globalContext().defaultGenerator(Handles.device(device)).clone();
        own.set_current_seed(seed);
        return new RandomSource(device, own);
    }

    /**
     * Sets the CPU generator's state from both halves of the seed, because libtorch uses only the low half. Closes the
     * generator on failure.
     */
    private static void spread(Generator generator, long seed) {
        try (org.bytedeco.pytorch.Tensor state = generator.get_state()) {
            if (StableAbi.numel(state.address()) != MersenneTwister.STATE_BYTES) {
                throw new IllegalStateException("libtorch's CPU generator has a state of "
                        + StableAbi.numel(state.address()) + " bytes, expected " + MersenneTwister.STATE_BYTES
                        + ": use a seed below 2^32 with this libtorch");
            }
            MemorySegment bytes = MemorySegment.ofAddress(StableAbi.dataPointer(state.address()))
                    .reinterpret(MersenneTwister.STATE_BYTES);
            int[] words = MersenneTwister.words((int) seed, (int) (seed >>> 32));
            for (int i = 0; i < words.length; i++) {
                bytes.set(
                        ValueLayout.JAVA_LONG_UNALIGNED,
                        MersenneTwister.WORDS_BEGIN + 8L * i,
                        Integer.toUnsignedLong(words[i]));
            }
            generator.set_state(state);
        } catch (RuntimeException | Error e) {
            generator.close();
            throw e;
        }
    }

    /** Runs a native call; no other thread's call or close may overlap it. */
    private <T> T alone(Supplier<T> body) {
        Thread other = (Thread) USER.compareAndExchange(this, (Thread) null, Thread.currentThread());
        if (other != null) {
            throw new IllegalStateException("this RandomSource is in use by thread '" + other.getName()
                    + "' at the same time: give each " + "thread its own source, or let one thread draw");
        }
        try {
            if (closed) {
                throw new IllegalStateException("this RandomSource was closed: draw before closing it");
            }
            return body.get();
        } finally {
            USER.setRelease(this, (Thread) null);
        }
    }

    private Tensor draw(String operation, Supplier<org.bytedeco.pytorch.Tensor> body, Tensor... operands) {
        return Torch.run(operation, () -> alone(body), operands);
    }

    /** Returns the device of this source's tensors. */
    public Device device() {
        return device;
    }

    /** Independent standard normal numbers, float32. */
    public Tensor normal(long... shape) {
        Operands.shape("normal", shape);
        return draw("normal", () -> torch.randn(shape, optional, Handles.options(DType.FLOAT32, device)));
    }

    /** As {@link #normal(long...)}. */
    public Tensor normal(Shape shape) {
        return normal(Operands.present("normal", "shape", shape).toArray());
    }

    /** Independent uniform numbers in [0, 1), float32. */
    public Tensor uniform(long... shape) {
        Operands.shape("uniform", shape);
        return draw("uniform", () -> torch.rand(shape, optional, Handles.options(DType.FLOAT32, device)));
    }

    /** As {@link #uniform(long...)}. */
    public Tensor uniform(Shape shape) {
        return uniform(Operands.present("uniform", "shape", shape).toArray());
    }

    /** Independent uniform integers from {@code low} to {@code high - 1}, int64. */
    public Tensor integers(long low, long high, long... shape) {
        if (high <= low) {
            throw new IllegalArgumentException(
                    "integers from " + low + " to below " + high + ": expected a larger upper bound");
        }
        Operands.shape("integers", shape);
        return draw("integers", () -> torch.randint(low, high, shape, optional, Handles.options(DType.INT64, device)));
    }

    /** The numbers 0 … count - 1 in random order, int64. */
    public Tensor permutation(long count) {
        return draw("permutation", () -> torch.randperm(count, optional, Handles.options(DType.INT64, device)));
    }

    /**
     * Draws indices (int64) with replacement, in proportion to non-negative weights: (count) for weights of one
     * dimension, (rows, count) for rows of weights.
     */
    public Tensor categorical(Tensor weights, long count) {
        return draw("categorical", () -> torch.multinomial(weights.unwrap(), count, true, optional), weights);
    }

    /** Returns this source's whole state as bytes (uint8, one dimension) for {@link #restore}. */
    public Tensor state() {
        return draw("state", generator::get_state);
    }

    /** Restores a state that {@link #state} of a source on the same kind of device returned. */
    public void restore(Tensor state) {
        try (ThreadState call = ThreadState.enter(state)) {
            alone(() -> {
                generator.set_state(state.unwrap());
                return this;
            });
        } catch (RuntimeException e) {
            throw TensorException.of("restoring a random state", e, state);
        }
    }

    /** Frees the generator after any running call of another thread. Idempotent, also from several threads. */
    @Override
    public void close() {
        if (!CLOSED.compareAndSet(this, false, true)) {
            return;
        }
        for (int i = 0; user != null; i++) {
            ThreadState.pause(i);
        }
        try {
            optional.close();
            generator.close();
            ticket.settle();
        } finally {
            Reference.reachabilityFence(this);
        }
    }
}
