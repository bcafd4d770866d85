package org.metaflowmaps.training.data;

import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * How stored latents become items.
 *
 * @param type the stored type: float32, float16 or bfloat16
 * @param shape of one stored latent: channels, height, width
 * @param form what the channels are
 * @param scaling of the autoencoder's latents to items
 * @param scaled true if the stored latents are scaled already
 * @param mirrored true if items hold a latent and then that of the mirrored image, see {@link #storedShape}
 */
record LatentCode(DType type, Shape shape, LatentForm form, LatentScaling scaling, boolean scaled, boolean mirrored) {
    /** Returns the channels of an item. */
    long channels() {
        return shape.size(0) / form.parts();
    }

    Shape itemShape() {
        return Shape.of(channels(), shape.size(1), shape.size(2));
    }

    /** Returns the shape of what a loader reads: with a leading dimension of 2 for a latent and its mirror image's. */
    Shape storedShape() {
        return mirrored ? shape.prepend(2) : shape;
    }

    /** Returns the bytes of one stored latent. */
    long bytes() {
        return Math.multiplyExact(shape.numel(), type.bytes());
    }

    /** Exchanges the latents of images and of their mirror images. */
    Tensor flipped(Tensor stored) {
        return stored.flip(1);
    }

    /** Makes items, see {@link Items#decode}. */
    Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor own = mirrored ? stored.select(1, 0) : stored;
            Tensor values = own.to(DType.FLOAT32);
            Tensor latents = form.isDrawn() ? form.drawn(values, noise.get()) : values;
            return scope.keep(scaled ? latents.clone() : multiplied(latents));
        }
    }

    /** Multiplies by a single factor without shift, so that results stay those of versions without shifts, bit for bit. */
    private Tensor multiplied(Tensor latents) {
        boolean plain = scaling.scale().size() == 1 && scaling.shift().getFirst() == 0;
        return plain ? latents.mul(scaling.scale().getFirst()) : scaling.scaled(latents);
    }

    /** Returns why training cannot use a stored latent; null if it can. */
    @Nullable
    String problem(byte[] latent) {
        long half = channels() * shape.size(1) * shape.size(2);
        int bad = LatentFile.firstBad(latent, type, form == LatentForm.MEAN_LOG_VARIANCE ? half : Long.MAX_VALUE);
        if (bad >= 0) {
            return LatentFile.value(latent, bad, type) + ", expected finite numbers";
        }
        int negative = form == LatentForm.MEAN_STD ? firstNegative(latent, half) : -1;
        return negative < 0
                ? null
                : "the standard deviation " + LatentFile.value(latent, negative, type)
                        + ", expected 0 or more: its second half may be log variances";
    }

    private int firstNegative(byte[] latent, long half) {
        for (int i = Math.toIntExact(half); i < latent.length / type.bytes(); i++) {
            if (LatentFile.value(latent, i, type) < 0) {
                return i;
            }
        }
        return -1;
    }
}
