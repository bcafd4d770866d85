package org.metaflowmaps.runtime;

import java.util.Arrays;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.function.UnaryOperator;

/** Reference values for operations, computed on arrays in double precision. */
final class Reference {
    static final double EPS = 1e-6;
    private static final double STEP = 1e-5;

    private Reference() {}

    static double[] numbers(double... values) {
        return values;
    }

    static double[] map(double[] values, DoubleUnaryOperator function) {
        return Arrays.stream(values).map(function).toArray();
    }

    static double[] zip(double[] left, double[] right, DoubleBinaryOperator function) {
        double[] result = new double[left.length];
        Arrays.setAll(result, i -> function.applyAsDouble(left[i], right[i]));
        return result;
    }

    static double sum(double[] values) {
        return Arrays.stream(values).sum();
    }

    static double dot(double[] left, double[] right) {
        return sum(zip(left, right, (x, y) -> x * y));
    }

    static double[] concat(double[]... parts) {
        return Arrays.stream(parts).flatMapToDouble(Arrays::stream).toArray();
    }

    static double[][] rows(double[] values, int width) {
        double[][] rows = new double[values.length / width][];
        Arrays.setAll(rows, i -> Arrays.copyOfRange(values, i * width, (i + 1) * width));
        return rows;
    }

    static double[] eachRow(double[] values, int width, UnaryOperator<double[]> function) {
        return concat(Arrays.stream(rows(values, width)).map(function).toArray(double[][]::new));
    }

    static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    static double silu(double x) {
        return x * sigmoid(x);
    }

    static double geluTanh(double x) {
        return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
    }

    /** Maclaurin series; for |x| up to 3 only its last digits are wrong. */
    static double erf(double x) {
        double term = x;
        double total = x;
        for (int n = 1; n < 80; n++) {
            term *= -x * x / n;
            total += term / (2 * n + 1);
        }
        return 2 / Math.sqrt(Math.PI) * total;
    }

    /** The unbiased variance. */
    static double variance(double[] values) {
        double mean = sum(values) / values.length;
        return sum(map(values, x -> (x - mean) * (x - mean))) / (values.length - 1);
    }

    static double rstd(double[] values) {
        return 1 / Math.sqrt(variance(values) * (values.length - 1) / values.length + EPS);
    }

    static double[] layerNorm(double[] values) {
        double mean = sum(values) / values.length;
        return map(values, x -> (x - mean) * rstd(values));
    }

    static double[] softmax(double[] values) {
        double total = sum(map(values, Math::exp));
        return map(values, x -> Math.exp(x) / total);
    }

    /** Softmax attention of one head, each argument (tokens, width) in row-major order. */
    static double[] attention(double[] query, double[] key, double[] value, int width) {
        return eachRow(query, width, q -> {
            double[] scores = Arrays.stream(rows(key, width))
                    .mapToDouble(k -> dot(q, k) / Math.sqrt(width))
                    .toArray();
            double[] weights = softmax(scores);
            double[] result = new double[width];
            for (int token = 0; token < weights.length; token++) {
                double weight = weights[token];
                result = zip(result, rows(value, width)[token], (sum, v) -> sum + weight * v);
            }
            return result;
        });
    }

    /** Returns the derivative by central differences, accurate to about ten digits. */
    static DoubleUnaryOperator derivative(DoubleUnaryOperator function) {
        return x -> (function.applyAsDouble(x + STEP) - function.applyAsDouble(x - STEP)) / (2 * STEP);
    }

    /** Returns, for each row, a cotangent times the Jacobian of a function of the row, by central differences. */
    static double[] jacobianProduct(double[] at, double[] cotangent, int width, UnaryOperator<double[]> function) {
        double[] result = new double[at.length];
        for (int i = 0; i < at.length; i++) {
            int row = i / width;
            double[] up = rows(at, width)[row].clone();
            double[] down = up.clone();
            up[i % width] += STEP;
            down[i % width] -= STEP;
            double[] change = zip(function.apply(up), function.apply(down), (x, y) -> (x - y) / (2 * STEP));
            result[i] = dot(rows(cotangent, width)[row], change);
        }
        return result;
    }
}
