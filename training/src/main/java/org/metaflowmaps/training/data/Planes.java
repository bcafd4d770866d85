package org.metaflowmaps.training.data;

import java.util.Arrays;

/**
 * An image as unsigned bytes, channel by channel, row by row.
 *
 * <p>Resampling follows Pillow's {@code Image.resize}: a separable filter that widens with the reduction, so that no
 * pixel is skipped, with rounding to bytes after each direction. {@link #centreCrop} follows guided-diffusion's
 * {@code center_crop_arr} (Dhariwal and Nichol, arXiv 2105.05233), which made the usual ImageNet latents.
 */
final class Planes {
    private final byte[][] channels;
    private final int width;
    private final int height;

    /** Makes an image over the given arrays, one per channel, each of width · height bytes. */
    Planes(byte[][] channels, int width, int height) {
        this.channels = channels;
        this.width = width;
        this.height = height;
    }

    /** A filter's weight at a distance from its centre, 0 beyond its support. */
    private interface Filter {
        double at(double distance);
    }

    private static double box(double x) {
        return x > -0.5 && x <= 0.5 ? 1 : 0;
    }

    /** Keys' cubic with a = -1/2. */
    private static double cubic(double x) {
        double r = Math.abs(x);
        if (r < 1) {
            return (1.5 * r - 2.5) * r * r + 1;
        }
        return r < 2 ? ((-0.5 * r + 2.5) * r - 4) * r + 2 : 0;
    }

    /** Resizes the short side to {@code size} and returns the middle size × size pixels. */
    Planes centreCrop(int size) {
        Planes image = this;
        while (Math.min(image.width, image.height) >= 2 * size) {
            image = image.resized(image.width / 2, image.height / 2, 0.5, Planes::box);
        }
        double scale = size / (double) Math.min(image.width, image.height);
        // Round half to even, like Python.
        Weights across = weights(image.width, (long) Math.rint(image.width * scale), size, 2, Planes::cubic);
        Weights down = weights(image.height, (long) Math.rint(image.height * scale), size, 2, Planes::cubic);
        return image.resampled(across, down);
    }

    private Planes resized(int toWidth, int toHeight, double support, Filter filter) {
        return resampled(
                weights(width, toWidth, toWidth, support, filter),
                weights(height, toHeight, toHeight, support, filter));
    }

    private Planes resampled(Weights across, Weights down) {
        byte[][] results = new byte[channels.length][];
        for (int i = 0; i < results.length; i++) {
            results[i] = down(across(channels[i], across), across.first.length, down);
        }
        return new Planes(results, across.first.length, down.first.length);
    }

    /** For each position of the result: the first source position, and the weights from there, which sum to 1. */
    private static final class Weights {
        private final int[] first;
        private final float[][] values;

        Weights(int[] first, float[][] values) {
            this.first = first;
            this.values = values;
        }
    }

    /**
     * Returns weights only for the {@code count} middle positions of {@code to}, because a thin image's long side may
     * not fit in memory.
     */
    private static Weights weights(int from, long to, int count, double support, Filter filter) {
        double scale = from / (double) to;
        double stretch = Math.max(scale, 1);
        double reach = support * stretch;
        long middle = (to - count) / 2;
        int[] first = new int[count];
        float[][] values = new float[count][];
        for (int i = 0; i < count; i++) {
            double centre = (middle + i + 0.5) * scale;
            int begin = Math.max(0, (int) (centre - reach + 0.5));
            double[] exact = new double[Math.min(from, (int) (centre + reach + 0.5)) - begin];
            for (int j = 0; j < exact.length; j++) {
                exact[j] = filter.at((begin + j - centre + 0.5) / stretch);
            }
            double sum = Arrays.stream(exact).sum();
            first[i] = begin;
            values[i] = new float[exact.length];
            for (int j = 0; j < exact.length; j++) {
                values[i][j] = (float) (exact[j] / sum);
            }
        }
        return new Weights(first, values);
    }

    private byte[] across(byte[] plane, Weights weights) {
        int toWidth = weights.first.length;
        byte[] result = new byte[toWidth * height];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < toWidth; x++) {
                float[] values = weights.values[x];
                int at = y * width + weights.first[x];
                float sum = 0;
                for (int j = 0; j < values.length; j++) {
                    sum += values[j] * (plane[at + j] & 0xff);
                }
                result[y * toWidth + x] = level(sum);
            }
        }
        return result;
    }

    private static byte[] down(byte[] plane, int width, Weights weights) {
        int toHeight = weights.first.length;
        byte[] result = new byte[width * toHeight];
        float[] sums = new float[width];
        for (int y = 0; y < toHeight; y++) {
            float[] values = weights.values[y];
            Arrays.fill(sums, 0);
            for (int j = 0; j < values.length; j++) {
                int at = (weights.first[y] + j) * width;
                for (int x = 0; x < width; x++) {
                    sums[x] += values[j] * (plane[at + x] & 0xff);
                }
            }
            for (int x = 0; x < width; x++) {
                result[y * width + x] = level(sums[x]);
            }
        }
        return result;
    }

    /** Clamps to a byte, because the cubic overshoots at edges. */
    private static byte level(float value) {
        return (byte) Math.clamp((int) Math.floor(value + 0.5f), 0, 255);
    }

    /** Returns all channels, one after the other. */
    byte[] bytes() {
        byte[] all = new byte[channels.length * width * height];
        for (int i = 0; i < channels.length; i++) {
            System.arraycopy(channels[i], 0, all, i * width * height, width * height);
        }
        return all;
    }
}
