package org.metaflowmaps.runtime;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.StableAbi;

/**
 * Named parameters that are views of one flat buffer, with their gradients as views of another.
 *
 * <p>Clipping, an optimiser step, the moving average and a checkpoint are then one pass over one buffer each. Parameters are
 * float32 (or, to check results by, float64) leaves that require gradients; backward passes add into {@link #gradients()}. The arena
 * owns all of it and frees it on {@link #close}; no scope does. An arena whose gradients nobody asks for has no memory for them.
 *
 * <p>Thread safety: any thread may read the parameters, and any thread may close the arena, see {@link Tensor}. Changing values or
 * running backward passes is for one thread at a time.
 */
public final class ParameterArena implements AutoCloseable {
    /** Parameters start at multiples of this many elements, so that vector instructions and GPU loads are aligned. */
    private static final long ALIGNMENT = 64;

    private final Tensor values;
    private @Nullable Tensor gradients;
    private final Map<String, Tensor> parameters = new LinkedHashMap<>();
    private final long count;

    /**
     * Lays out zero-filled parameters.
     *
     * @param shapes the parameters by name, in the order they get in the buffer
     * @param device where they live
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
     * @param device where they live
     * @param type float32, or float64 to check results by
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
                throw new IllegalArgumentException("parameters up to '" + entry.getKey() + "' have more elements than memory can hold");
            }
        }
        count = elements;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            values = Torch.zeros(type, device, total);
            long offset = 0;
            for (Map.Entry<String, Shape> entry : shapes.entrySet()) {
                Shape shape = entry.getValue();
                long numel = shape.numel();
                Tensor parameter = values.narrow(0, offset, numel).view(shape).detach().requiresGrad_(true);
                parameters.put(entry.getKey(), parameter);
                offset += aligned(numel);
            }
            // Only now, so that a failure on the way leaves nothing behind.
            values.retain();
            parameters.values().forEach(Tensor::retain);
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
            throw new IllegalArgumentException("no parameter is named '" + name + "'; there are " + parameters.size() + ", such as "
                    + parameters.keySet().stream().limit(5).toList());
        }
        return parameter;
    }

    /** All parameters by name, in buffer order. */
    public Map<String, Tensor> parameters() {
        return Collections.unmodifiableMap(parameters);
    }

    /** The flat buffer of values, one dimension, with zeros between parameters; change it under {@link Autograd#noGrad}. */
    public Tensor values() {
        return values;
    }

    /**
     * The flat buffer of gradients, laid out like {@link #values}. It is made at the first call, and takes in what backward passes
     * have left until then.
     *
     * @throws IllegalStateException if the arena was closed
     * @throws TensorException if the device has no room
     */
    public synchronized Tensor gradients() {
        Tensor made = gradients;
        if (made == null) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                made = Torch.zerosLike(values);
                for (Map.Entry<String, Tensor> entry : parameters.entrySet()) {
                    Tensor place = view(entry.getKey(), made);
                    try (ThreadState call = ThreadState.enter(entry.getValue())) {
                        org.bytedeco.pytorch.Tensor parameter = entry.getValue().unwrap();
                        if (parameter.grad().defined()) {
                            place.copy_(Tensor.wrap(parameter.grad()));
                        }
                        parameter.mutable_grad().put(place.unwrap());
                    }
                }
                gradients = made.retain();
            }
        }
        return made;
    }

    /** A parameter's place seen in another flat buffer of this layout, such as a moment or a moving average. */
    public Tensor view(String name, Tensor flat) {
        Tensor parameter = get(name);
        if (flat.numel() != values.numel()) {
            throw new IllegalArgumentException("a buffer of " + flat.numel() + " elements does not have this arena's layout of "
                    + values.numel());
        }
        long offset;
        try (ThreadState call = ThreadState.enter(parameter)) {
            offset = StableAbi.storageOffset(parameter.handle());
        }
        return flat.narrow(0, offset, parameter.numel()).view(parameter.shape());
    }

    /** The number of parameter elements, without the gaps between parameters. */
    public long count() {
        return count;
    }

    /** Frees all; waits until native calls of other threads on these tensors are over. Closing twice does nothing. */
    @Override
    public synchronized void close() {
        parameters.values().forEach(Tensor::close);
        if (gradients != null) {
            gradients.close();
        }
        values.close();
    }
}
