package org.metaflowmaps.training.loss;

import com.google.common.base.Preconditions;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.Linear;
import org.metaflowmaps.models.layer.TimeSeries;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A small network ω(s, u, t) for the logarithm of a loss's expected error at those times. It starts at 0 everywhere.
 */
public final class TimeWeight implements AutoCloseable {
    private static final int WIDTH = 64;

    private final ParameterArena arena;
    private final TimeSeries series;
    private final Linear hidden;
    private final Linear output;

    /**
     * Makes a new network.
     *
     * @param random draws its hidden layer, on the same device
     */
    public TimeWeight(Device device, RandomSource random) {
        this(layout(device, random));
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.get("fc1.weight")
                    .copy_(random.uniform(WIDTH, 3L * TimeSeries.TERMS).mul(2).sub(1));
        }
    }

    private TimeWeight(ParameterArena arena) {
        this.arena = arena;
        this.series = new TimeSeries(arena.values().device());
        Weights weights = new Weights(arena, "");
        this.hidden = weights.linear("fc1");
        this.output = weights.linear("fc2");
    }

    private static ParameterArena layout(Device device, RandomSource random) {
        Preconditions.checkArgument(
                random.device().equals(device),
                "time weight: the random source is on %s, expected %s",
                random.device(),
                device);
        Map<String, Shape> shapes = new LinkedHashMap<>();
        shapes.put("fc1.weight", Shape.of(WIDTH, 3L * TimeSeries.TERMS));
        shapes.put("fc1.bias", Shape.of(WIDTH));
        shapes.put("fc2.weight", Shape.of(1, WIDTH));
        shapes.put("fc2.bias", Shape.of(1));
        return new ParameterArena(shapes, device);
    }

    /** Returns this network over the same weights with gradients of its own; owned by the caller. */
    public TimeWeight replica() {
        return new TimeWeight(arena.replica());
    }

    /**
     * Returns ω of each item.
     *
     * @param start s: (B)
     * @param end u: (B)
     * @param time t: (B)
     * @return (B), with a gradient graph
     */
    public Tensor of(Tensor start, Tensor end, Tensor time) {
        Tensor times = Torch.cat(
                1,
                series.of(Dual.constant(start)).primal(),
                series.of(Dual.constant(end)).primal(),
                series.of(Dual.constant(time)).primal());
        return output.exact(hidden.exact(Dual.constant(times)).silu()).primal().squeeze(1);
    }

    /** Returns the trained parameters, owned by this network. */
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    public void close() {
        arena.close();
        series.close();
    }
}
