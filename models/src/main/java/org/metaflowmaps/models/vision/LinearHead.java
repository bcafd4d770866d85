package org.metaflowmaps.models.vision;

import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Tensor;

/** Five linear layers from features to one number, without activations: the head of ImageReward and of LAION. */
final class LinearHead {
    /** The numbers between are layers that do nothing outside training. */
    private static final int[] LAYERS = {0, 2, 4, 6, 7};

    private LinearHead() {}

    /** Adds the tensors; {@code in} is {@link Fitting#ANY} if the file decides. Returns the number of inputs. */
    static long add(Fitting fitting, String prefix, long in) {
        long first = in;
        long width = in;
        for (int layer : LAYERS) {
            boolean last = layer == LAYERS[LAYERS.length - 1];
            long[] sizes = fitting.tensor(prefix + "layers." + layer + ".weight", last ? 1 : Fitting.ANY, width);
            fitting.tensor(prefix + "layers." + layer + ".bias", sizes[0]);
            first = layer == LAYERS[0] ? sizes[1] : first;
            width = sizes[0];
        }
        return first;
    }

    /** Features (batch, width) to (batch). */
    static Tensor forward(Weights weights, Tensor features) {
        Tensor x = features;
        for (int layer : LAYERS) {
            x = ImageLayers.linear(weights, "layers." + layer, x);
        }
        return x.squeeze(1);
    }
}
