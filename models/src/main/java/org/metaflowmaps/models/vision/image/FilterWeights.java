package org.metaflowmaps.models.vision.image;

import java.util.Arrays;

/**
 * One direction of a separable resampling: for each new position the first old one, and the weights from there.
 *
 * <p>The order of operations is that of Pillow 12.3, because results must be equal to the last bit.
 */
final class FilterWeights {
    /** Fraction bits of integer weights: with a sum of 255 and the sign they fill 32 bits. */
    private static final int FRACTION = 22;

    private final int from;
    private final int[] first;
    private final double[][] values;
    private final int[][] integers;

    private FilterWeights(int from, int[] first, double[][] values) {
        this.from = from;
        this.first = first;
        this.values = values;
        this.integers = Arrays.stream(values)
                .map(row -> Arrays.stream(row)
                        .mapToInt(value -> (int) (value * (1 << FRACTION) + (value < 0 ? -0.5 : 0.5)))
                        .toArray())
                .toArray(int[][]::new);
    }

    /**
     * Computes weights for a window of the new positions only, because a thin image's long side may not fit in memory.
     *
     * @param from old size
     * @param to new size
     * @param begin the window's first position
     * @param count the window's size
     */
    static FilterWeights of(int from, long to, long begin, int count, Filter filter) {
        double scale = from / (double) to;
        double stretch = Math.max(scale, 1);
        double reach = filter.support() * stretch;
        double narrow = 1 / stretch;
        int[] first = new int[count];
        double[][] values = new double[count][];
        for (int i = 0; i < count; i++) {
            double centre = (begin + i + 0.5) * scale;
            first[i] = Math.max(0, (int) (centre - reach + 0.5));
            double[] row = new double[Math.min(from, (int) (centre + reach + 0.5)) - first[i]];
            double sum = 0;
            for (int j = 0; j < row.length; j++) {
                row[j] = filter.weight((j + first[i] - centre + 0.5) * narrow);
                sum += row[j];
            }
            for (int j = 0; sum != 0 && j < row.length; j++) {
                row[j] /= sum;
            }
            values[i] = row;
        }
        return new FilterWeights(from, first, values);
    }

    int count() {
        return first.length;
    }

    /** Returns the first old position that has a weight. */
    int begin() {
        return first[0];
    }

    /** Returns the old position after the last that has a weight. */
    int end() {
        return first[count() - 1] + values[count() - 1].length;
    }

    /** Resamples the rows from {@code begin} to {@code end}, each of {@code from} bytes. */
    byte[] across(byte[] plane, int begin, int end) {
        byte[] result = new byte[count() * (end - begin)];
        for (int x = 0; x < count(); x++) {
            int[] row = integers[x];
            for (int y = begin; y < end; y++) {
                int at = y * from + first[x];
                int sum = 1 << (FRACTION - 1);
                for (int j = 0; j < row.length; j++) {
                    sum += row[j] * (plane[at + j] & 0xff);
                }
                result[(y - begin) * count() + x] = level(sum);
            }
        }
        return result;
    }

    /**
     * Resamples columns of bytes.
     *
     * @param begin the old row that the plane begins with
     */
    byte[] down(byte[] plane, int width, int begin) {
        byte[] result = new byte[width * count()];
        int[] sums = new int[width];
        for (int y = 0; y < count(); y++) {
            Arrays.fill(sums, 1 << (FRACTION - 1));
            for (int j = 0; j < integers[y].length; j++) {
                int at = (first[y] + j - begin) * width;
                for (int x = 0; x < width; x++) {
                    sums[x] += integers[y][j] * (plane[at + x] & 0xff);
                }
            }
            for (int x = 0; x < width; x++) {
                result[y * width + x] = level(sums[x]);
            }
        }
        return result;
    }

    /** Clamps to a byte, because filters with negative weights overshoot at edges. */
    private static byte level(int sum) {
        return (byte) Math.clamp(sum >> FRACTION, 0, 255);
    }

    /** Resamples the rows from {@code begin} to {@code end}, each of {@code from} numbers. */
    float[] across(float[] plane, int begin, int end) {
        float[] result = new float[count() * (end - begin)];
        for (int x = 0; x < count(); x++) {
            double[] row = values[x];
            for (int y = begin; y < end; y++) {
                int at = y * from + first[x];
                double sum = 0;
                for (int j = 0; j < row.length; j++) {
                    sum += row[j] * plane[at + j];
                }
                result[(y - begin) * count() + x] = (float) sum;
            }
        }
        return result;
    }

    /**
     * Resamples columns of numbers.
     *
     * @param begin the old row that the plane begins with
     */
    float[] down(float[] plane, int width, int begin) {
        float[] result = new float[width * count()];
        double[] sums = new double[width];
        for (int y = 0; y < count(); y++) {
            Arrays.fill(sums, 0);
            for (int j = 0; j < values[y].length; j++) {
                int at = (first[y] + j - begin) * width;
                for (int x = 0; x < width; x++) {
                    sums[x] += values[y][j] * plane[at + x];
                }
            }
            for (int x = 0; x < width; x++) {
                result[y * width + x] = (float) sums[x];
            }
        }
        return result;
    }
}
