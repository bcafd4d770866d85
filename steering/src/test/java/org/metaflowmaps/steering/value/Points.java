package org.metaflowmaps.steering.value;

import java.util.stream.LongStream;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Points in float64 for value functions, and a network. */
final class Points {
    static final int ROWS = 3;
    static final double TIME = 0.35;
    static final int STEP = 6;

    private Points() {}

    /** A small network with random weights, float64, that requires no gradients; the caller closes it. */
    static MetaFlowMap network() {
        try (MetaFlowMap single = SmallNetworks.transformer()) {
            return single.copy(DType.FLOAT64);
        }
    }

    /** Three labelled items. */
    static Point of(MetaFlowMap map) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3)) {
            Tensor state = random.normal(map.itemShape().prepend(ROWS)).to(DType.FLOAT64);
            Condition labels = map.classes() == 0
                    ? Condition.none()
                    : Condition.labelled(scope.keep(Torch.of(new long[] {0, map.classes(), 1})));
            return new Point(TIME, STEP, scope.keep(state), labels, noise(map.itemShape(), ROWS));
        }
    }

    /** Noise of items 40, 41, …. */
    static KeyedNoise noise(Shape item, int count) {
        long[] items = LongStream.range(40, 40 + count).toArray();
        return new KeyedNoise(21, items, 1, item, DType.FLOAT64, Device.CPU);
    }

    /** Returns the point with another state. */
    static Point at(Point point, Tensor state) {
        return new Point(point.time(), point.step(), state, point.condition(), point.noise(), point.guard());
    }

    /** The point with another guard. */
    static Point guarded(Point point, ScoreGuard guard) {
        return new Point(point.time(), point.step(), point.state(), point.condition(), point.noise(), guard);
    }

    /** The point with other noise. */
    static Point with(Point point, SteeringNoise noise) {
        return new Point(point.time(), point.step(), point.state(), point.condition(), noise, point.guard());
    }
}
