package org.metaflowmaps.runtime;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Named parameters that are views of one flat buffer, with their gradients as views of another.
 *
 * <p>Clipping, an optimiser step, the moving average and a checkpoint are then one pass over one buffer each.
 * Parameters are float32 leaves (float64 for reference results) that require gradients; backward passes add into
 * {@link #gradients()}. The arena owns all tensors and frees them on {@link #close}; no scope does. The buffer of
 * gradients is allocated at the first call of {@link #gradients()}.
 *
 * <p>A frozen arena ({@link #over}) has the same layout over another buffer, such as a moving average, without a copy.
 * Its parameters require no gradients and may be bfloat16.
 *
 * <p>A float32 arena can have a bfloat16 copy of its values ({@link #narrow}), which layers use under {@link Autocast} so
 * that it need not cast each weight in each pass.
 *
 * <p>Thread safety: any thread may read the parameters or close the arena, see {@link Tensor}. Only one thread at a
 * time may change values or run backward passes.
 */
public final class ParameterArena implements AutoCloseable {
    /** Parameters start at multiples of this many elements, so that vector instructions and GPU loads are aligned. */
    private static final long ALIGNMENT = 64;

    private final Tensor values;
    private @Nullable Tensor gradients;
    private final Map<String, Tensor> parameters = new LinkedHashMap<>();
    private final Map<String, Long> offsets = new LinkedHashMap<>();
    private final long count;
    private final boolean frozen;
    /** The arena whose values and bfloat16 copy a replica shares; null for other arenas. */
    private final @Nullable ParameterArena origin;
    /** The bfloat16 copy, also while layers may not use it. */
    private @Nullable ParameterArena copy;

    private volatile boolean narrowed;

    /**
     * Lays out zero-filled parameters.
     *
     * @param shapes the parameters by name, in the order they get in the buffer
     * @param device their device
     * @throws IllegalArgumentException for more elements than memory can hold
     * @throws TensorException if the device has no room
     */
    public ParameterArena(Map<String, Shape> shapes, Device device) {
        this(shapes, device, DType.FLOAT32);
    }

    /**
     * Lays out zero-filled parameters of an element type.
     *
     * @param shapes the parameters by name, in the order they get in the buffer
     * @param device their device
     * @param type float32, or float64 for reference results
     * @throws IllegalArgumentException for more elements than memory can hold or another type
     * @throws TensorException if the device has no room
     */
    public ParameterArena(Map<String, Shape> shapes, Device device, DType type) {
        if (type != DType.FLOAT32 && type != DType.FLOAT64) {
            throw new IllegalArgumentException("parameters of type " + type + ": expected float32 or float64");
        }
        long total = 0;
        long elements = 0;
        for (Map.Entry<String, Shape> entry : shapes.entrySet()) {
            long numel = entry.getValue().numel();
            elements += numel;
            total += aligned(numel);
            if (total < 0) {
                throw new IllegalArgumentException(
                        "parameters up to '" + entry.getKey() + "' have more elements than memory can hold");
            }
        }
        count = elements;
        frozen = false;
        origin = null;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            values = Torch.zeros(type, device, total);
            long offset = 0;
            for (Map.Entry<String, Shape> entry : shapes.entrySet()) {
                Shape shape = entry.getValue();
                long numel = shape.numel();
                Tensor parameter =
                        values.narrow(0, offset, numel).view(shape).detach().requiresGrad_(true);
                parameters.put(entry.getKey(), parameter);
                offsets.put(entry.getKey(), offset);
                offset += aligned(numel);
            }
            // Retain at the end, so that a failure above leaks nothing.
            values.retain();
            parameters.values().forEach(Tensor::retain);
        }
    }

    private ParameterArena(ParameterArena layout, Tensor flat, boolean frozen, @Nullable ParameterArena origin) {
        count = layout.count;
        this.frozen = frozen;
        this.origin = origin;
        offsets.putAll(layout.offsets);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            // A new tensor on the same memory, so that the arena and the caller's tensor can be closed independently.
            values = flat.detach();
            for (String name : layout.parameters.keySet()) {
                parameters.put(name, layout.view(name, values).detach().requiresGrad_(!frozen));
            }
            values.retain();
            parameters.values().forEach(Tensor::retain);
        }
    }

    /**
     * Returns a frozen arena of this layout over another buffer: parameters are views of the buffer and require no
     * gradients. Closing the arena does not free the buffer; closing the buffer's tensor leaves the arena usable.
     *
     * @param flat one dimension, as many elements as {@link #values}: float32, float64 or bfloat16, on any device
     * @return owned by the caller
     * @throws IllegalArgumentException for a buffer of another size or type
     */
    public ParameterArena over(Tensor flat) {
        DType type = flat.dtype();
        if (type != DType.FLOAT32 && type != DType.FLOAT64 && type != DType.BFLOAT16) {
            throw new IllegalArgumentException("a buffer of type " + type + ": expected float32, float64 or bfloat16");
        }
        if (flat.dim() != 1 || !flat.isContiguous()) {
            throw new IllegalArgumentException(
                    "a buffer of parameters is " + flat + ", expected one contiguous dimension");
        }
        requireLayout(flat);
        return new ParameterArena(this, flat, true, null);
    }

    /**
     * Returns an arena over the same values with gradients of its own, so that another thread can run backward passes
     * at the same time. Nothing is copied: a change of the values is seen by both, and so is a bfloat16 copy of them.
     *
     * @return owned by the caller; keeps the values' memory allocated
     * @throws IllegalStateException if this arena is frozen
     */
    public ParameterArena replica() {
        if (frozen) {
            throw new IllegalStateException(
                    "these parameters are frozen and have no gradients: make a replica of the original network");
        }
        return new ParameterArena(this, values, false, origin == null ? this : origin);
    }

    /** True if no parameter requires gradients, see {@link #over}. */
    public boolean isFrozen() {
        return frozen;
    }

    /**
     * Copies the values to bfloat16, once for all passes until {@link #widen}; {@link #narrowed} then returns the copy.
     * Later changes of the values are not seen until the next call. Does nothing to an arena of another type than
     * float32.
     *
     * <p>A gradient of the copy is bfloat16, as under {@link Autocast}; {@link #addNarrowedGradients} adds it to
     * {@link #gradients}. Do not call inside {@link Autograd#inference} if gradients are wanted later.
     *
     * @throws IllegalStateException for a replica, which has the copy of its original
     * @throws TensorException if the device has no room
     */
    public synchronized void narrow() {
        if (origin != null) {
            throw new IllegalStateException("these parameters are a replica: narrow those of the original network");
        }
        if (values.dtype() != DType.FLOAT32) {
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            if (copy == null) {
                copy = new ParameterArena(this, values.to(DType.BFLOAT16), frozen, null);
            } else {
                copy.values.copy_(values);
            }
        }
        narrowed = true;
    }

    /**
     * Ends the use of the bfloat16 copy, because the values are about to change, after {@link #addNarrowedGradients}. The
     * copy's memory is kept for the next {@link #narrow}.
     */
    public void widen() {
        addNarrowedGradients();
        narrowed = false;
    }

    /**
     * Returns the bfloat16 copy of the values, with the same names, for layers under {@link Autocast}.
     *
     * @return owned by this arena; null unless there is one, see {@link #narrow}
     */
    public @Nullable ParameterArena narrowed() {
        if (origin == null) {
            return narrowed ? copy : null;
        }
        ParameterArena shared = origin.narrowed();
        return shared == null ? null : ownCopy(shared);
    }

    /** Returns the original's copy with gradients of this replica's own. */
    private synchronized ParameterArena ownCopy(ParameterArena shared) {
        if (copy == null) {
            copy = new ParameterArena(this, shared.values, false, null);
        }
        return copy;
    }

    /**
     * Adds the gradients that backward passes have left at the bfloat16 copy to {@link #gradients}, and removes them there.
     * Call after each backward pass: gradients of several passes would be added in bfloat16.
     */
    public synchronized void addNarrowedGradients() {
        ParameterArena from = copy;
        if (from == null || frozen) {
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            for (Map.Entry<String, Tensor> entry : from.parameters.entrySet()) {
                Tensor gradient = Autograd.accumulated(entry.getValue());
                if (gradient != null) {
                    gradient(entry.getKey()).add_(gradient);
                    try (ThreadState call = ThreadState.enter(entry.getValue())) {
                        entry.getValue().unwrap().mutable_grad().reset();
                    }
                }
            }
        }
    }

    private static long aligned(long count) {
        return (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    /**
     * One parameter.
     *
     * @throws IllegalArgumentException if no parameter has that name
     */
    public Tensor get(String name) {
        Tensor parameter = parameters.get(name);
        if (parameter == null) {
            throw new IllegalArgumentException("no parameter is named '" + name + "'; there are " + parameters.size()
                    + ", such as " + parameters.keySet().stream().limit(5).toList());
        }
        return parameter;
    }

    /** All parameters by name, in buffer order. */
    public Map<String, Tensor> parameters() {
        return Collections.unmodifiableMap(parameters);
    }

    /**
     * The flat buffer of values, one dimension, with zeros between parameters; change it under {@link Autograd#noGrad}.
     */
    public Tensor values() {
        return values;
    }

    /**
     * Returns the flat buffer of gradients, laid out like {@link #values}. The first call makes it and copies the
     * gradients that backward passes have left until then.
     *
     * @throws IllegalStateException if the arena was closed, or is frozen
     * @throws TensorException if the device has no room
     */
    public synchronized Tensor gradients() {
        if (frozen) {
            throw new IllegalStateException(
                    "these parameters are frozen and have no gradients: train the original network instead");
        }
        Tensor made = gradients;
        if (made == null) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                made = Torch.zerosLike(values);
                Autograd.ACCUMULATION.writeLock().lock();
                try {
                    for (Map.Entry<String, Tensor> entry : parameters.entrySet()) {
                        Tensor place = view(entry.getKey(), made);
                        try (ThreadState call = ThreadState.enter(entry.getValue())) {
                            org.bytedeco.pytorch.Tensor parameter =
                                    entry.getValue().unwrap();
                            if (parameter.grad().defined()) {
                                place.copy_(Tensor.wrap(parameter.grad()));
                            }
                            parameter.mutable_grad().put(place.unwrap());
                        }
                    }
                } finally {
                    Autograd.ACCUMULATION.writeLock().unlock();
                }
                gradients = made.retain();
            }
        }
        return made;
    }

    /**
     * Returns a parameter's view of {@link #gradients}, in the innermost open scope.
     *
     * @throws IllegalArgumentException if no parameter has that name
     * @throws IllegalStateException if the arena is frozen
     */
    public Tensor gradient(String name) {
        return view(name, gradients());
    }

    /** Returns a parameter's view of another flat buffer of this layout, such as a moment or a moving average. */
    public Tensor view(String name, Tensor flat) {
        Tensor parameter = get(name);
        requireLayout(flat);
        return flat.narrow(0, Objects.requireNonNull(offsets.get(name)), parameter.numel())
                .view(parameter.shape());
    }

    private void requireLayout(Tensor flat) {
        if (flat.numel() != values.numel()) {
            throw new IllegalArgumentException(
                    "a buffer of " + flat.numel() + " elements does not have this arena's layout of " + values.numel());
        }
    }

    /** Returns the number of parameter elements, without the gaps between parameters. */
    public long count() {
        return count;
    }

    /** Frees all tensors; waits until native calls of other threads on them return. Closing twice does nothing. */
    @Override
    public synchronized void close() {
        parameters.values().forEach(Tensor::close);
        if (gradients != null) {
            gradients.close();
        }
        if (copy != null) {
            copy.close();
        }
        values.close();
    }
}
