package org.metaflowmaps.models.model;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/** Checks the inputs of every network before native code. */
final class Inputs {
    private Inputs() {}

    static void check(MetaFlowMap map, Tensor start, Tensor end, Tensor state, Context context) {
        Shape shape = state.shape();
        Shape item = map.itemShape();
        if (shape.dim() != item.dim() + 1 || !shape.from(1).equals(item)) {
            throw new IllegalArgumentException("state has shape " + shape + ", this map takes a batch of " + item
                    + ": (B" + item.toString().replace('[', ',').replace("]", ")"));
        }
        Device device = map.parameters().values().device();
        // Inputs and outputs of a bfloat16 copy are float32, because times in bfloat16 are too coarse.
        DType weights = map.parameters().values().dtype();
        DType type = weights == DType.BFLOAT16 ? DType.FLOAT32 : weights;
        checkOne("state", state, shape, type, device);
        checkOne("context state", context.state(), shape, type, device);
        Shape perItem = Shape.of(shape.size(0));
        checkOne("start time", start, perItem, type, device);
        checkOne("end time", end, perItem, type, device);
        checkOne("context time", context.time(), perItem, type, device);
        Condition condition = context.condition();
        condition.guidance().ifPresent(scales -> checkOne("guidance", scales, perItem, type, device));
        condition.labels().ifPresent(labels -> checkLabels(labels, shape.size(0), map.classes(), device));
        if (context.isChecked()) {
            InputValues.requireTimes("start time", start);
            InputValues.requireTimes("end time", end);
            condition.labels().ifPresent(labels -> InputValues.requireLabels(labels, map.classes()));
        }
    }

    private static void checkOne(String name, Tensor tensor, Shape shape, DType type, Device device) {
        if (!tensor.shape().equals(shape)) {
            throw new IllegalArgumentException(name + " has shape " + tensor.shape() + ", expected " + shape);
        }
        if (tensor.dtype() != type) {
            throw new IllegalArgumentException(name + " is " + tensor.dtype() + ", expected " + type
                    + ", in which this network computes: call " + "to(DType." + type.name() + ")");
        }
        if (!tensor.device().equals(device)) {
            throw new IllegalArgumentException(name + " is on " + tensor.device() + ", the network on " + device
                    + ": call to(Device) on one of them");
        }
    }

    private static void checkLabels(Tensor labels, long batch, int classes, Device device) {
        if (classes == 0) {
            throw new IllegalArgumentException("labels were given to a map without classes: pass Condition.none()");
        }
        if (labels.dim() != 1
                || labels.size(0) != batch
                || labels.dtype() != DType.INT64
                || !labels.device().equals(device)) {
            throw new IllegalArgumentException("labels are " + labels + ", expected int64[" + batch + "] on " + device);
        }
    }
}
