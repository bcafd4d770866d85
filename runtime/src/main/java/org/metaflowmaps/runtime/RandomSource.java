package org.metaflowmaps.runtime;

import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.global.torch;

/**
 * A seeded stream of random tensors: the same seed, calls and device give the same numbers.
 *
 * <p>Each source has its own state, apart from libtorch's global generator. Not for use by several threads at once. Results
 * belong to the innermost open {@link TensorScope}; the source is the caller's to close, and refuses use after that with an
 * {@link IllegalStateException}.
 */
public final class RandomSource implements AutoCloseable {
    private final Device device;
    private final Generator generator;
    private final GeneratorOptional optional;

    private RandomSource(Device device, Generator generator) {
        this.device = device;
        this.generator = generator;
        this.optional = new GeneratorOptional(generator);
    }

    /** A source of CPU tensors. */
    public static RandomSource seeded(long seed) {
        return seeded(seed, Device.CPU);
    }

    /** A source of tensors on a device, drawn there: the CPU's numbers and a GPU's differ for the same seed. */
    public static RandomSource seeded(long seed, Device device) {
        Handles.initialise();
        if (Operands.present("seeded", "device", device).type() == Device.Type.CPU) {
            return new RandomSource(device, torch.make_generator_cpu(seed));
        }
        Generator own = torch.globalContext().defaultGenerator(Handles.device(device)).clone();
        own.set_current_seed(seed);
        return new RandomSource(device, own);
    }

    private GeneratorOptional open() {
        if (optional.isNull()) {
            throw new IllegalStateException("this RandomSource was closed: draw before closing it");
        }
        return optional;
    }

    /** The device whose tensors this source makes. */
    public Device device() {
        return device;
    }

    /** Independent standard normal numbers, float32. */
    public Tensor normal(long... shape) {
        Operands.shape("normal", shape);
        return Torch.run("normal", () -> torch.randn(shape, open(), Handles.options(DType.FLOAT32, device)));
    }

    /** Independent uniform numbers in [0, 1), float32. */
    public Tensor uniform(long... shape) {
        Operands.shape("uniform", shape);
        return Torch.run("uniform", () -> torch.rand(shape, open(), Handles.options(DType.FLOAT32, device)));
    }

    /** Independent uniform integers from {@code low} to {@code high - 1}, int64. */
    public Tensor integers(long low, long high, long... shape) {
        if (high <= low) {
            throw new IllegalArgumentException("integers from " + low + " to below " + high + ": there are none");
        }
        Operands.shape("integers", shape);
        return Torch.run("integers", () -> torch.randint(low, high, shape, open(), Handles.options(DType.INT64, device)));
    }

    /** The numbers 0 … count - 1 in random order, int64. */
    public Tensor permutation(long count) {
        return Torch.run("permutation", () -> torch.randperm(count, open(), Handles.options(DType.INT64, device)));
    }

    /**
     * Indices (int64) drawn with replacement in proportion to non-negative weights: {@code count} of them for weights of one
     * dimension, (rows, count) for rows of weights.
     */
    public Tensor categorical(Tensor weights, long count) {
        return Torch.run("categorical", () -> torch.multinomial(weights.unwrap(), count, true, open()), weights);
    }

    /** All of this source's state: bytes (uint8, one dimension) for {@link #restore}. */
    public Tensor state() {
        return Torch.run("state", () -> {
            open();
            return generator.get_state();
        });
    }

    /** Goes back to a state that {@link #state} gave, of a source on the same kind of device. */
    public void restore(Tensor state) {
        open();
        try {
            generator.set_state(state.unwrap());
        } catch (RuntimeException e) {
            throw TensorException.of("restoring a random state", e, state);
        }
    }

    @Override
    public void close() {
        optional.close();
        generator.close();
    }
}
