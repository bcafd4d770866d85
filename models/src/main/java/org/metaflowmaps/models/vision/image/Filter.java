package org.metaflowmaps.models.vision.image;

/** Pillow's resampling filters, which widen with the reduction, so that no pixel is skipped. */
public enum Filter {
    /** The mean of the pixels under the new one. */
    BOX(0.5),
    /** A triangle. */
    BILINEAR(1),
    /** A sinc under a Hamming window. */
    HAMMING(1),
    /** Keys' cubic with a = -1/2. */
    BICUBIC(2),
    /** A sinc under a Lanczos window of three lobes. */
    LANCZOS(3);

    private final double support;

    Filter(double support) {
        this.support = support;
    }

    /** Returns the distance beyond which the weight is 0. */
    double support() {
        return support;
    }

    /** Returns the weight, before normalisation, at a distance from the centre. */
    double weight(double distance) {
        double x = Math.abs(distance);
        return switch (this) {
            case BOX -> distance > -0.5 && distance <= 0.5 ? 1 : 0;
            case BILINEAR -> x < 1 ? 1 - x : 0;
            case HAMMING -> hamming(x);
            case BICUBIC -> cubic(x);
            case LANCZOS -> distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0;
        };
    }

    private static double hamming(double x) {
        return x < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(x * Math.PI)) : 0;
    }

    private static double cubic(double x) {
        if (x < 1) {
            return (1.5 * x - 2.5) * x * x + 1;
        }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    }

    private static double sinc(double x) {
        return x == 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
    }
}
