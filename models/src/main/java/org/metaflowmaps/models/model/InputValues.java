package org.metaflowmaps.models.model;

import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.cuda.StepGraph;

/** Checks the values of a caller's tensors; each check reads one value back, so a training step makes none. */
public final class InputValues {
    private InputValues() {}

    /**
     * Throws for times outside [0, 1] and NaN.
     *
     * @param name their name in the message
     * @throws IllegalArgumentException that names the first such item
     */
    public static void requireTimes(String name, Tensor times) {
        require(
                times,
                0,
                1,
                (item, value) -> name + " of item " + item + " is " + value
                        + ", expected 0 (noise) to 1 (data): divide or clamp it to that range");
    }

    /**
     * Throws for times outside [0, 1), where a posterior mean does not determine the drift, and NaN.
     *
     * @param name their name in the message
     * @throws IllegalArgumentException that names the first such item
     */
    public static void requireTimesBelowOne(String name, Tensor times) {
        require(
                times,
                0,
                Math.nextDown(1f),
                (item, value) -> name + " of item " + item + " is " + value
                        + ", expected 0 (noise) to below 1: at 1 the posterior mean is the state and does not determine"
                        + " the drift");
    }

    /**
     * Throws for NaN and infinite values.
     *
     * @param name their name in the message
     * @throws IllegalArgumentException that names the first such item
     */
    public static void requireFinite(String name, Tensor values) {
        require(
                values,
                -Double.MAX_VALUE,
                Double.MAX_VALUE,
                (item, value) ->
                        name + " of item " + item + " is " + value + ", expected a finite number: give 1 for none");
    }

    /**
     * Throws for labels that are not classes of a map.
     *
     * @param classes of the map; a label of this value means "no label"
     * @throws IllegalArgumentException that names the first such item
     */
    public static void requireLabels(Tensor labels, int classes) {
        require(
                labels,
                0,
                classes,
                (item, value) -> "label " + (long) value + " of item " + item + " is out of range: this map has "
                        + (classes == 0
                                ? "no classes, so give no labels"
                                : "classes 0 to " + (classes - 1) + ", and " + classes + " for no label"));
    }

    /** Makes the exception for a value out of range. */
    @FunctionalInterface
    private interface Report {
        String of(int item, double value);
    }

    private static void require(Tensor values, double least, double most, Report report) {
        // A captured step cannot read: its caller checks values before the first run and each replay.
        if (values.numel() == 0 || StepGraph.isCapturing()) {
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            // Comparisons with NaN are false. One read, because each waits for the device.
            Tensor allowed = most == Double.MAX_VALUE
                    ? values.isFinite()
                    : values.ge(least).mul(values.le(most));
            if (allowed.all().item() != 0) {
                return;
            }
            double[] all = values.detach().to(Device.CPU).toDoubleArray();
            for (int i = 0; i < all.length; i++) {
                if (!(all[i] >= least && all[i] <= most)) {
                    throw new IllegalArgumentException(report.of(i, all[i]));
                }
            }
        }
    }
}
