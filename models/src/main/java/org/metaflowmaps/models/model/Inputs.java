package org.metaflowmaps.models.model;

import java.util.Arrays;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;

/** Checks the inputs of every network, so that bad ones are refused before they reach native code. */
final class Inputs {
    private Inputs() {}

    static void check(MetaFlowMap map, Tensor start, Tensor end, Tensor state, Context context) {
        long[] shape = state.shape();
        long[] item = map.itemShape();
        if (shape.length != item.length + 1 || !Arrays.equals(Arrays.copyOfRange(shape, 1, shape.length), item)) {
            throw new IllegalArgumentException("state has shape " + Arrays.toString(shape) + ", this map takes a batch of "
                    + Arrays.toString(item) + ": (B" + Arrays.toString(item).replace('[', ',').replace("]", ")"));
        }
        Device device = map.parameters().values().device();
        // A bfloat16 copy takes and gives float32: times in bfloat16 would be too coarse.
        DType weights = map.parameters().values().dtype();
        DType type = weights == DType.BFLOAT16 ? DType.FLOAT32 : weights;
        checkOne("state", state, shape, type, device);
        checkOne("context state", context.state(), shape, type, device);
        long[] perItem = {shape[0]};
        checkOne("start time", start, perItem, type, device);
        checkOne("end time", end, perItem, type, device);
        checkOne("context time", context.time(), perItem, type, device);
        Condition condition = context.condition();
        condition.guidance().ifPresent(scales -> checkOne("guidance", scales, perItem, type, device));
        condition.labels().ifPresent(labels -> checkLabels(labels, shape[0], map.classes(), device));
        if (context.isChecked()) {
            InputValues.requireTimes("start time", start);
            InputValues.requireTimes("end time", end);
            condition.labels().ifPresent(labels -> InputValues.requireLabels(labels, map.classes()));
        }
    }

    private static void checkOne(String name, Tensor tensor, long[] shape, DType type, Device device) {
        if (!Arrays.equals(tensor.shape(), shape)) {
            throw new IllegalArgumentException(name + " has shape " + Arrays.toString(tensor.shape()) + ", expected "
                    + Arrays.toString(shape));
        }
        if (tensor.dtype() != type) {
            throw new IllegalArgumentException(name + " is " + tensor.dtype() + ", expected " + type + ", in which this network computes: call "
                    + "to(DType." + type.name() + ")");
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
        if (labels.dim() != 1 || labels.size(0) != batch || labels.dtype() != DType.INT64 || !labels.device().equals(device)) {
            throw new IllegalArgumentException("labels are " + labels + ", expected int64[" + batch + "] on " + device);
        }
    }
}
