package org.metaflowmaps.models.vision;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** How an evaluator of FID prepares images for {@link FidInception}; values of FID differ between them. */
public enum InceptionInput {
    /**
     * TensorFlow 1's bilinear resizing without half pixels, then (x - 128) / 128: the evaluators of TensorFlow, ADM,
     * torch-fidelity and NVIDIA.
     */
    TENSORFLOW {
        @Override
        double position(long index, long in) {
            // TensorFlow computes the ratio in float32.
            return index * (double) (float) ((double) in / SIDE);
        }

        @Override
        Tensor range(Tensor resized) {
            return resized.sub(128).div(128);
        }
    },
    /** Bilinear resizing with half pixels, then x / 127.5 - 1: pytorch-fid. */
    PYTORCH_FID {
        @Override
        double position(long index, long in) {
            return Math.max(0, (index + 0.5) * in / SIDE - 0.5);
        }

        @Override
        Tensor range(Tensor resized) {
            return resized.div(255).mul(2).sub(1);
        }
    };

    /** The side of the network's images. */
    public static final long SIDE = 299;

    abstract double position(long index, long in);

    abstract Tensor range(Tensor resized);

    /**
     * Prepares images.
     *
     * @param images (batch, 3, height, width), 0 to 255, of type uint8 or with whole numbers
     * @param type of the result, float32 or float64
     * @return (batch, 3, 299, 299) on the images' device
     * @throws IllegalArgumentException for another shape
     */
    public Tensor prepare(Tensor images, DType type) {
        Preconditions.checkArgument(
                images.dim() == 4 && images.size(1) == 3 && images.numel() > 0,
                "prepare: images are %s, expected (batch, 3, height, width)",
                images);
        return ImageLayers.block(images, given -> {
            Tensor rows = weights(given.size(2), type, given.device());
            Tensor columns = weights(given.size(3), type, given.device());
            return range(rows.matmul(given.to(type)).matmul(columns.transpose(0, 1)));
        });
    }

    /** Returns (299, in): the weights of the input's positions in each output. */
    private Tensor weights(long in, DType type, Device device) {
        double[] weights = new double[Math.toIntExact(SIDE * in)];
        for (long i = 0; i < SIDE; i++) {
            double position = position(i, in);
            long low = Math.min((long) position, in - 1);
            long high = Math.min(low + 1, in - 1);
            double part = position - low;
            weights[Math.toIntExact(i * in + low)] += 1 - part;
            weights[Math.toIntExact(i * in + high)] += part;
        }
        return Torch.of(weights, SIDE, in).to(type).to(device);
    }
}
